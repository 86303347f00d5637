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
from savanna_conductor import archive, convert
from savanna_conductor.archive import Place
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import timestamp
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp
    from sqlalchemy import Connection, Row

    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)

Operation = operation_pb2.Operation
Task = operation_pb2.Task
TaskCounts = operation_pb2.TaskCounts

OPERATIONS, TASKS, ROWS = 50, 1000, 400
"""Most of each that one batch moves; rows are those of the journal."""

_ARCHIVED = [schema.operation.c[name] for name in ("id", "archived_to", "archived_counts")]
_WITH_BODY = [*_ARCHIVED, schema.operation.c.body]
_LINE = [schema.journal.c[name] for name in ("sequence", "body")]
_TASK = [each for each in schema.task.c if each.name != "body"]
_PART_TASKS, _PART_BYTES = 500, 2**18
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
    portions = await store.read(lambda c: due(c, clock(c) - given.hot))
    if portions:
        await store.write(partial(move, portions=portions))
    over = []
    if given.keep:
        over = await store.read(lambda c: expired(c, clock(c) - given.keep))
    if over:
        await store.write(partial(purge, operation_ids=over))
    return bool(portions or over)


@dataclass(frozen=True)
class Portion:
    """What is moved of one operation at once, packed."""

    operation_id: str
    seen: tuple[int, bytes]
    """What was archived of it when this was read: who finds more came too late."""

    counts: TaskCounts
    task_ids: Sequence[str]
    task_parts: Sequence[tuple[str, bytes]]
    sequences: Sequence[int]
    journal_parts: Sequence[tuple[int, bytes]]


def due(connection: Connection, ended_before: int) -> list[Portion]:
    """Read and pack what is to be moved next: what ended first goes first."""
    table = schema.operation
    query = (
        select(*_ARCHIVED)
        .where(table.c.place == Place.LIVE, table.c.ended > 0, table.c.ended < ended_before)
        .order_by(table.c.ended)
        .limit(OPERATIONS)
    )
    portions: list[Portion] = []
    tasks, rows = TASKS, ROWS
    for row in connection.execute(query).all():
        portions.append(_portion(connection, row, tasks, rows))
        tasks -= len(portions[-1].task_ids)
        rows -= len(portions[-1].sequences)
        if tasks <= 0 or rows <= 0:
            break
    return portions


def _portion(connection: Connection, row: Row[Any], tasks: int, rows: int) -> Portion:
    table, lines = schema.task, schema.journal
    query = select(*_TASK).where(table.c.operation_id == row.id)
    # In the order of the index: each batch reads only what it moves.
    found = connection.execute(query.order_by(table.c.key).limit(tasks)).all()
    told = connection.execute(
        select(*_LINE).where(lines.c.operation_id == row.id).order_by(lines.c.sequence).limit(rows)
    ).all()
    return Portion(
        operation_id=row.id,
        seen=_seen(row),
        counts=_counted(row.archived_counts, (each.state for each in found)),
        task_ids=[each.id for each in found],
        task_parts=_task_parts(found),
        sequences=[each.sequence for each in told],
        journal_parts=_journal_parts(told),
    )


def _seen(row: Row[Any]) -> tuple[int, bytes]:
    return row.archived_to, row.archived_counts or b""


def _counted(before: bytes | None, states: Iterable[int]) -> TaskCounts:
    """Give the counts of archived tasks with those of these states."""
    counts = TaskCounts.FromString(before or b"")
    for state in states:
        counts.total += 1
        counts.succeeded += state == Task.STATE_SUCCEEDED
        counts.failed += state == Task.STATE_FAILED
        counts.skipped += state == Task.STATE_SKIPPED
    return counts


def _task_parts(rows: Sequence[Row[Any]]) -> list[tuple[str, bytes]]:
    parts = [rows[start : start + _PART_TASKS] for start in range(0, len(rows), _PART_TASKS)]
    return [(part[-1].key, archive.pack_tasks(map(convert.task, part))) for part in parts]


def _journal_parts(rows: Sequence[Row[Any]]) -> list[tuple[int, bytes]]:
    parts: list[tuple[int, bytes]] = []
    bodies: list[bytes] = []
    size = 0
    for number, row in enumerate(rows, 1):
        bodies.append(row.body)
        size += len(row.body)
        if size >= _PART_BYTES or number == len(rows):
            parts.append((row.sequence, archive.pack_journal(bodies)))
            bodies, size = [], 0
    return parts


def move(transaction: Transaction, portions: Sequence[Portion]) -> int:
    """Move portions that nobody has moved; gives their number.

    Nothing else changes an operation that has ended, and writers take turns: what was read is what
    is there, unless some of it was moved meanwhile.
    """
    connection = transaction.connection
    rows = _read(connection, [each.operation_id for each in portions], Place.LIVE)
    fresh = {
        each.operation_id: each
        for each in portions
        if each.operation_id in rows and _seen(rows[each.operation_id]) == each.seen
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
    query = select(*_WITH_BODY).where(table.c.id.in_(operation_ids), table.c.place == place)
    return {row.id: row for row in connection.execute(query).all()}


def _store_parts(connection: Connection, portions: Iterable[Portion]) -> None:
    tasks, lines = [], []
    for each in portions:
        for key, body in each.task_parts:
            tasks.append({"operation_id": each.operation_id, "key": key, "body": body})
        for sequence, body in each.journal_parts:
            lines.append({"operation_id": each.operation_id, "sequence": sequence, "body": body})
    for table, parts in ((schema.task_archive, tasks), (schema.journal_archive, lines)):
        if parts:
            connection.execute(insert(table), parts)


def _remove_moved(connection: Connection, portions: Iterable[Portion]) -> None:
    tasks, lines = schema.task, schema.journal
    task_ids = [task_id for each in portions for task_id in each.task_ids]
    sequences = [sequence for each in portions for sequence in each.sequences]
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
    return list(connection.execute(query.order_by(table.c.ended).limit(OPERATIONS)).scalars())


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
