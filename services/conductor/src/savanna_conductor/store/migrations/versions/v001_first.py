"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlalchemy import insert

from savanna_conductor.store import schema

revision = "001_first"
down_revision = None


def upgrade() -> None:
    """Make all tables, and the counter of the journal."""
    connection = op.get_bind()
    schema.metadata.create_all(connection)
    connection.execute(insert(schema.counter).values(name="journal", value=0))
