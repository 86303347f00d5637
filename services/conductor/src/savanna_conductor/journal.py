"""Reading the journal: what was told, in order, where it was written and in the archive.

Plain functions on one snapshot.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna_conductor import archive
from savanna_conductor.store import schema
from savanna_conductor.store.transaction import JOURNAL
from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, Select

    from savanna.operation.v1.operation_pb2 import JournalEntry

_ALL = 2**62
"""More rows than there can be."""

_NARROWING = ("operation_id", "cluster_id")
_HEAD = select(schema.counter.c.value).where(schema.counter.c.name == JOURNAL)


def after(
    connection: Connection, request: messages.WatchJournalRequest, sequence: int, limit: int
) -> list[JournalEntry]:
    """Read entries after a position.

    Writers take turns, so none can appear before one that is seen.
    """
    narrowed = {name: value for name in _NARROWING if (value := getattr(request, name))}
    query = _told(("project_id", *narrowed))
    given = {"project_id": request.project_id, **narrowed, "limit": limit}
    pages = _written(connection, query, given, sequence)
    if request.operation_id:
        pages = chain(archive.journal(connection, request.operation_id, sequence), pages)
    # A row may begin before the position: it has the number of its last entry.
    entries = (entry for page in pages for entry in page if entry.sequence > sequence)
    return list(islice(entries, limit))


def of_operation(connection: Connection, operation_id: str) -> Iterator[JournalEntry]:
    """Read all that was told of an operation."""
    query, given = _told(("operation_id",)), {"operation_id": operation_id, "limit": _ALL}
    pages = chain(archive.journal(connection, operation_id), _written(connection, query, given, 0))
    return chain.from_iterable(pages)


@lru_cache
def _told(columns: tuple[str, ...]) -> Select[Any]:
    """Ask for rows with given values in some columns: made once, as many may watch."""
    table = schema.journal
    query = select(table.c.body).where(*(table.c[each] == bindparam(each) for each in columns))
    query = query.where(table.c.sequence > bindparam("sequence"))
    return query.order_by(table.c.sequence).limit(bindparam("limit"))


def _written(
    connection: Connection, query: Select[Any], given: Mapping[str, object], sequence: int
) -> Iterator[Sequence[JournalEntry]]:
    for body in connection.execute(query, {**given, "sequence": sequence}).scalars():
        yield messages.WatchJournalResponse.FromString(body).entries


def head(connection: Connection) -> int:
    """Give the number of the last entry."""
    return int(connection.execute(_HEAD).scalar_one())


def begin(connection: Connection, request: messages.WatchJournalRequest) -> int:
    """Give the position from which on a watch has no holes: nothing that it would be given after
    it was moved to where the watch does not look, or removed."""
    column = next((each for each in _NARROWING if getattr(request, each)), "project_id")
    given = {"id": getattr(request, column)}
    row = connection.execute(_begin(column), given).one_or_none()
    return row.archived_to if row is not None and row.project_id == request.project_id else 0


@lru_cache
def _begin(column: str) -> Select[Any]:
    table = schema.operation
    query = select(table.c.project_id, table.c.archived_to)
    if column == "operation_id":
        # Its archive is read too.
        query = query.where(table.c.id == bindparam("id"), table.c.place == archive.Place.PURGED)
    else:
        query = query.where(table.c[column] == bindparam("id"))
    return query.order_by(table.c.archived_to.desc()).limit(1)


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
