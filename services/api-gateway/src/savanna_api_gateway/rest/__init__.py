"""REST as Sahara's clients speak it.

Declared in ``resources`` (fields) and ``v2`` (routes), carried out by the core.
"""
