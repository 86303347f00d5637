"""Every resource of the API, field by field, in the order in which Sahara shows them.

Names of fields are written down here alone: JSON in, JSON out, schemas and v1.1 follow from it.
"""
