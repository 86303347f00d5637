"""What routes do: from JSON to the core and back.

Servicers' twins: they only translate.
"""
