"""Requests are told apart by what they ask for, and found by their age."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "008_digests"
down_revision = "007_interruptions"


def upgrade() -> None:
    """Of requests that were carried out before nothing is known: they match any."""
    digest = sa.Column("digest", sa.String(80), nullable=False, server_default="")
    op.add_column("request", digest)
    op.create_index(op.f("ix_request_created"), "request", ["created"])
