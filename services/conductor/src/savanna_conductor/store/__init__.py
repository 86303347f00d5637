"""The database: tables, dialects, transactions.

Nothing outside of this service knows SQL.
"""
