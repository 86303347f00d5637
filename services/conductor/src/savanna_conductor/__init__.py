"""Remembers: the only one that knows the database."""
