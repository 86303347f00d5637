"""The archive: tasks and journal of operations that ended some time ago, packed in rows of many.

An operation's row stays where it is. Its tasks and its entries are moved part by part, the oldest
entries first; what is read is always the archive and what was not moved yet, both on one snapshot.
So it makes no difference to readers how far the move is.
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from savanna.operation.v1 import operation_pb2


_PART = schema.journal_archive
_NEXT_PART = (
    select(_PART.c.sequence, _PART.c.body)
    .where(_PART.c.operation_id == bindparam("id"), _PART.c.sequence > bindparam("after"))
    .order_by(_PART.c.sequence)
    .limit(1)
)


class Place(IntEnum):
    """Where the tasks of an operation and its part of the journal are."""

    LIVE = 0
    """Where they were written; of an operation that has ended some may be in the archive."""

    ARCHIVED = 1
    """In the archive, all of them."""

    PURGED = 2
    """Nowhere: the time is over for which they are kept."""


def pack_tasks(tasks: Iterable[operation_pb2.Task]) -> bytes:
    """Pack tasks into a row."""
    return zlib.compress(execution.Graph(tasks=tasks).SerializeToString())


def pack_journal(bodies: Iterable[bytes]) -> bytes:
    """Pack rows of the journal into one: lists that are written one after the other are a list."""
    return zlib.compress(b"".join(bodies))


def tasks(connection: Connection, operation_ids: Iterable[str]) -> list[operation_pb2.Task]:
    """Read the archived tasks of operations, in no order."""
    table = schema.task_archive
    query = select(table.c.body).where(table.c.operation_id.in_(list(operation_ids)))
    return [
        task
        for body in connection.execute(query).scalars()
        for task in execution.Graph.FromString(zlib.decompress(body)).tasks
    ]


def journal(
    connection: Connection, operation_id: str, after: int = 0
) -> Iterator[Sequence[operation_pb2.JournalEntry]]:
    """Read what is archived of an operation's journal, a row at a time, in order; the first may
    begin before the position."""
    while True:
        # One by one: they are packed closely, and who reads may want only the first.
        given = {"id": operation_id, "after": after}
        row = connection.execute(_NEXT_PART, given).one_or_none()
        if row is None:
            return
        yield messages.WatchJournalResponse.FromString(zlib.decompress(row.body)).entries
        after = row.sequence
