"""Reading the journal: what was told, in order, where it was written and in the archive.

Plain functions on one snapshot.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna_conductor import archive
from savanna_conductor.store import schema
from savanna_conductor.store.transaction import JOURNAL
from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Select

    from savanna.operation.v1.operation_pb2 import JournalEntry


def after(
    connection: Connection, request: messages.WatchJournalRequest, sequence: int, limit: int
) -> list[JournalEntry]:
    """Read entries after a position.

    Writers take turns, so none can appear before one that is seen.
    """
    table = schema.journal
    query = select(table.c.body).where(table.c.project_id == request.project_id)
    if request.cluster_id:
        query = query.where(table.c.cluster_id == request.cluster_id)
    if request.operation_id:
        query = query.where(table.c.operation_id == request.operation_id)
    pages = _written(connection, query.limit(limit), sequence)
    if request.operation_id:
        pages = chain(archive.journal(connection, request.operation_id, sequence), pages)
    # A row may begin before the position: it has the number of its last entry.
    entries = (entry for page in pages for entry in page if entry.sequence > sequence)
    return list(islice(entries, limit))


def of_operation(connection: Connection, operation_id: str) -> Iterator[JournalEntry]:
    """Read all that was told of an operation."""
    table = schema.journal
    query = select(table.c.body).where(table.c.operation_id == operation_id)
    pages = chain(archive.journal(connection, operation_id), _written(connection, query, 0))
    return chain.from_iterable(pages)


def _written(
    connection: Connection, query: Select[Any], sequence: int
) -> Iterator[Sequence[JournalEntry]]:
    table = schema.journal
    query = query.where(table.c.sequence > sequence).order_by(table.c.sequence)
    for body in connection.execute(query).scalars():
        yield messages.WatchJournalResponse.FromString(body).entries


def head(connection: Connection) -> int:
    """Give the number of the last entry."""
    table = schema.counter
    query = select(table.c.value).where(table.c.name == JOURNAL)
    return int(connection.execute(query).scalar_one())


def begin(connection: Connection, request: messages.WatchJournalRequest) -> int:
    """Give the position from which on a watch has no holes: nothing that it would be given after
    it was moved to where the watch does not look, or removed."""
    table = schema.operation
    query = select(table.c.project_id, table.c.archived_to, table.c.place)
    if request.operation_id:
        query = query.where(table.c.id == request.operation_id)
        query = query.where(table.c.place == archive.Place.PURGED)
    elif request.cluster_id:
        query = query.where(table.c.cluster_id == request.cluster_id)
    else:
        query = query.where(table.c.project_id == request.project_id)
    row = connection.execute(query.order_by(table.c.archived_to.desc()).limit(1)).one_or_none()
    return row.archived_to if row is not None and row.project_id == request.project_id else 0


def check_whole(position: int, begins: int, request: messages.WatchJournalRequest) -> None:
    """Raise ``FailedPrecondition`` with what to do if a watch at a position would have holes."""
    if position >= begins:
        return
    what, read = "the operation", "it"
    if not request.operation_id:
        what = "the cluster" if request.cluster_id else "the project"
        read = "its operations"
    raise FailedPrecondition(
        f"entries about {what} that follow number {position} are no longer in the journal: read "
        f"{read} anew, then watch from number {begins} on",
        reason="JOURNAL_ARCHIVED",
        metadata={"after_sequence": str(begins)},
    )
