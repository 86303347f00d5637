"""Retention: what has ended is moved to the archive, and removed from there when its time is over.

It is done in small batches. What takes time, reading and packing, is done beside the writer; then
one short transaction moves the batch, or leaves it if somebody else was faster. So any number of
conductors may do it at once, and one that is killed loses nothing but the packing.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, insert, select, union, update

from savanna.operation.v1 import operation_pb2
from savanna_conductor import portions
from savanna_conductor.archive import Place
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import timestamp
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp
    from sqlalchemy import Connection, Row

    from savanna_conductor.portions import Portion
    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)

Operation = operation_pb2.Operation

_OPERATION = [schema.operation.c[name] for name in ("id", "archived_to", "archived_counts", "body")]
_SECOND = 1_000_000
_PAUSE_SECONDS = 30.0
_LEAST_REST_SECONDS = 0.05
_REST = 4
"""A batch is followed by a rest of so many times what it took: others come first."""


@dataclass(frozen=True)
class Rules:
    """How long after its end an operation stays where work is done, and how long it is kept at all,
    in microseconds; ``keep`` is 0 for ever."""

    hot: int
    keep: int


def rules(given: ConductorSettings) -> Rules:
    """Read the rules from the settings."""
    return Rules(
        hot=int(given.archive_after_seconds * _SECOND),
        keep=int(given.keep_finished_days * 24 * 3600 * _SECOND),
    )


async def keep(store: Store, given: Rules) -> None:
    """Archive and remove what is due, for ever."""
    while True:
        # Conductors that were started together take turns rather than do the same.
        await asyncio.sleep(_PAUSE_SECONDS * random.uniform(0.5, 1.5))
        try:
            await _round(store, given)
        except SavannaError as error:
            log.warning("retention_failed", error=str(error))


async def _round(store: Store, given: Rules) -> None:
    begun = time.monotonic()
    while await batch(store, given):
        took = time.monotonic() - begun
        await asyncio.sleep(max(_LEAST_REST_SECONDS, _REST * took))
        begun = time.monotonic()


async def batch(
    store: Store, given: Rules, *, clock: Callable[[Connection], int] = dialect.now
) -> bool:
    """Archive one batch and remove one; says whether there was anything to do."""
    due = await store.read(lambda c: portions.due(c, clock(c) - given.hot))
    if due:
        packed = await asyncio.to_thread(portions.pack, due)
        await store.write(partial(move, packed=packed))
    over = []
    if given.keep:
        over = await store.read(lambda c: expired(c, clock(c) - given.keep))
    if over:
        await store.write(partial(purge, operation_ids=over))
    return bool(due or over)


def move(transaction: Transaction, packed: Sequence[Portion]) -> int:
    """Move portions that nobody has moved; gives their number.

    Nothing else changes an operation that has ended, and writers take turns: what was read is what
    is there, unless some of it was moved meanwhile.
    """
    connection = transaction.connection
    rows = _read(connection, [each.operation_id for each in packed], Place.LIVE)
    fresh = {
        each.operation_id: each
        for each in packed
        if each.operation_id in rows and portions.seen(rows[each.operation_id]) == each.seen
    }
    if not fresh:
        return 0
    _store_parts(connection, fresh.values())
    _remove_moved(connection, fresh.values())
    left = _with_something_left(connection, fresh)
    changes = []
    for operation_id, portion in fresh.items():
        row = rows[operation_id]
        change = _change(row, Place.LIVE)
        if operation_id not in left:
            change = _change(row, Place.ARCHIVED, archived=timestamp(transaction.now))
        sequence = portion.sequences[-1] if portion.sequences else row.archived_to
        counts = portion.counts.SerializeToString()
        changes.append({**change, "archived_to": sequence, "archived_counts": counts})
    _save(connection, changes)
    return len(fresh)


def _read(
    connection: Connection, operation_ids: Sequence[str], place: Place
) -> dict[str, Row[Any]]:
    table = schema.operation
    query = select(*_OPERATION).where(table.c.id.in_(operation_ids), table.c.place == place)
    return {row.id: row for row in connection.execute(query).all()}


def _store_parts(connection: Connection, packed: Iterable[Portion]) -> None:
    tasks, lines = [], []
    for each in packed:
        for key, body in each.task_parts:
            tasks.append({"operation_id": each.operation_id, "key": key, "body": body})
        for sequence, body in each.journal_parts:
            lines.append({"operation_id": each.operation_id, "sequence": sequence, "body": body})
    for table, parts in ((schema.task_archive, tasks), (schema.journal_archive, lines)):
        if parts:
            connection.execute(insert(table), parts)


def _remove_moved(connection: Connection, packed: Iterable[Portion]) -> None:
    tasks, lines = schema.task, schema.journal
    task_ids = [task_id for each in packed for task_id in each.task_ids]
    sequences = [sequence for each in packed for sequence in each.sequences]
    connection.execute(delete(tasks).where(tasks.c.id.in_(task_ids)))
    connection.execute(delete(lines).where(lines.c.sequence.in_(sequences)))


def _with_something_left(connection: Connection, operation_ids: Iterable[str]) -> set[str]:
    ids = list(operation_ids)
    tasks, lines = schema.task.c.operation_id, schema.journal.c.operation_id
    query = union(select(tasks).where(tasks.in_(ids)), select(lines).where(lines.in_(ids)))
    return set(connection.execute(query).scalars())


def _change(
    row: Row[Any],
    place: Place,
    *,
    archived: Timestamp | None = None,
    purged: Timestamp | None = None,
) -> dict[str, object]:
    """Give what becomes of an operation's row."""
    operation = Operation.FromString(row.body)
    operation.MergeFrom(Operation(archive_time=archived, purge_time=purged))
    return {"moved_id": row.id, "place": int(place), "body": operation.SerializeToString()}


def _save(connection: Connection, changes: Sequence[dict[str, object]]) -> None:
    table = schema.operation
    names = [name for name in changes[0] if name != "moved_id"]
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    connection.execute(
        update(table).where(table.c.id == bindparam("moved_id")).values(values), changes
    )


def expired(connection: Connection, ended_before: int) -> list[str]:
    """List operations whose archive is to be removed next."""
    table = schema.operation
    query = select(table.c.id).where(
        table.c.place == Place.ARCHIVED, table.c.ended > 0, table.c.ended < ended_before
    )
    return list(
        connection.execute(query.order_by(table.c.ended).limit(portions.OPERATIONS)).scalars()
    )


def purge(transaction: Transaction, operation_ids: Sequence[str]) -> int:
    """Remove the archives of operations that still have one; gives their number."""
    connection = transaction.connection
    rows = _read(connection, operation_ids, Place.ARCHIVED)
    if not rows:
        return 0
    for table in (schema.task_archive, schema.journal_archive):
        connection.execute(delete(table).where(table.c.operation_id.in_(list(rows))))
    now = timestamp(transaction.now)
    _save(connection, [_change(row, Place.PURGED, purged=now) for row in rows.values()])
    return len(rows)
