"""Operations that ended some time ago have their tasks and their part of the journal in an archive;
what is asked of operations has an index, however many there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from savanna.operation.v1 import operation_pb2

revision = "005_archive"
down_revision = "004_deployment"

_OPERATION = sa.table(
    "operation",
    sa.column("id", sa.String()),
    sa.column("state", sa.SmallInteger()),
    sa.column("ended", sa.BigInteger()),
    sa.column("body", sa.LargeBinary()),
)
_ENDED = (4, 5, 6)
_CHUNK = 1000


def upgrade() -> None:
    """Make the archive; nothing is moved yet, that is done while the conductor serves."""
    _add_columns()
    _change_indexes()
    _make_archive("task_archive", sa.Column("key", sa.String(length=300), nullable=False))
    _make_archive(
        "journal_archive",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
    )
    _note_ends()


def _add_columns() -> None:
    for name, kind in (
        ("ended", sa.BigInteger()),
        ("place", sa.SmallInteger()),
        ("archived_to", sa.BigInteger()),
    ):
        op.add_column("operation", sa.Column(name, kind, nullable=False, server_default="0"))
    op.add_column("operation", sa.Column("archived_counts", sa.LargeBinary(), nullable=True))


def _change_indexes() -> None:
    op.drop_index("ix_operation_cluster_id", "operation")
    op.drop_index("ix_journal_operation_id", "journal")
    for table, *columns in (
        ("operation", "cluster_id", "state"),
        ("operation", "cluster_id", "archived_to"),
        ("operation", "project_id", "archived_to"),
        ("operation", "place", "ended"),
        ("journal", "operation_id", "sequence"),
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns)


def _make_archive(name: str, part: sa.Column[object]) -> None:
    op.create_table(
        name,
        sa.Column("operation_id", sa.String(length=64), nullable=False),
        part,
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["operation.id"],
            name=op.f(f"fk_{name}_operation_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("operation_id", part.name, name=op.f(f"pk_{name}")),
    )


def _note_ends() -> None:
    """Give operations that have ended a column for when they did."""
    connection = op.get_bind()
    table = _OPERATION
    query = sa.select(table.c.id, table.c.body).where(table.c.state.in_(_ENDED))
    change = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("operation"))
        .values(ended=sa.bindparam("end"))
    )
    last = ""
    while rows := connection.execute(
        query.where(table.c.id > last).order_by(table.c.id).limit(_CHUNK)
    ).all():
        connection.execute(change, [{"operation": row.id, "end": _end(row.body)} for row in rows])
        last = rows[-1].id


def _end(body: bytes) -> int:
    return operation_pb2.Operation.FromString(body).end_time.ToMicroseconds()
