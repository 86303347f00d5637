"""Schedulers tell which engines they drain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "009_drains"
down_revision = "008_digests"


def upgrade() -> None:
    """Nobody has told any yet."""
    op.add_column("scheduler", sa.Column("drains", sa.LargeBinary(), nullable=True))
