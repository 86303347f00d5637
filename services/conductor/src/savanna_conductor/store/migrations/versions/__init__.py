"""Migrations: linear, named, never edited once released."""
