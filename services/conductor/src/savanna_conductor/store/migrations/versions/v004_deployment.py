"""A deployment has an id, written on all that it makes in a cloud: what another one made is none of
its business."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "004_deployment"
down_revision = "003_mesh"


def upgrade() -> None:
    """Make the table with its one row."""
    table = op.create_table(
        "deployment",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.bulk_insert(table, [{"id": str(uuid.uuid4())}])
