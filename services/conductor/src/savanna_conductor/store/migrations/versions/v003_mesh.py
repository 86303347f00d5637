"""Schedulers and engine sessions say since when they are there, and engines how much they do at
once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "003_mesh"
down_revision = "002_journal_rows"


def upgrade() -> None:
    """Add the columns; what is there already began at a time that nobody knows."""
    for table in ("scheduler", "engine_session"):
        began = sa.Column("started", sa.BigInteger(), nullable=False, server_default="0")
        op.add_column(table, began)
    capacity = sa.Column("capacity", sa.Text(), nullable=False, server_default="{}")
    op.add_column("engine_session", capacity)
