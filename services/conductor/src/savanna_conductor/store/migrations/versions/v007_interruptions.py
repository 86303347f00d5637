"""How often all of Savanna ended at once while a task was in the hands of an engine."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "007_interruptions"
down_revision = "006_room"


def upgrade() -> None:
    """Count from none."""
    column = sa.Column("interruptions", sa.Integer(), nullable=False, server_default="0")
    op.add_column("task", column)
