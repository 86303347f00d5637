"""Decides: which task next, on which engine."""
