"""Rows of the journal hold all that one transaction told of one operation; rows of tasks have room
to be changed twice where they are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "002_journal_rows"
down_revision = "001_first"

_JOURNAL = sa.table(
    "journal", sa.column("sequence", sa.BigInteger()), sa.column("body", sa.LargeBinary())
)
_CHUNK = 1000


def upgrade() -> None:
    """Turn each row of one entry into a list of one."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE task SET (fillfactor = 60)")
    query = sa.select(_JOURNAL.c.sequence, _JOURNAL.c.body).order_by(_JOURNAL.c.sequence)
    change = (
        sa.update(_JOURNAL)
        .where(_JOURNAL.c.sequence == sa.bindparam("number"))
        .values(body=sa.bindparam("list"))
    )
    done = 0
    while rows := connection.execute(query.where(_JOURNAL.c.sequence > done).limit(_CHUNK)).all():
        connection.execute(
            change, [{"number": row.sequence, "list": _list_of(row.body)} for row in rows]
        )
        done = rows[-1].sequence


def _list_of(entry: bytes) -> bytes:
    """Write a message whose first field repeats, with one element."""
    length, size = b"", len(entry)
    while size > 127:
        length += bytes([size % 128 + 128])
        size //= 128
    return b"\n" + length + bytes([size]) + entry
