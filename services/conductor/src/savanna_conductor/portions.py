"""Portions: what is moved to the archive at once, read and packed.

Reading is a plain function on one snapshot. Packing is none of the database's business: a
transaction that stood still meanwhile would be ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from savanna.operation.v1 import operation_pb2
from savanna_conductor import archive, convert
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

Task = operation_pb2.Task
TaskCounts = operation_pb2.TaskCounts

OPERATIONS, TASKS, ROWS = 50, 1000, 400
"""Most of each that is moved at once; rows are those of the journal."""

_PART_TASKS, _PART_BYTES = 500, 2**18
_OPERATION = [schema.operation.c[name] for name in ("id", "archived_to", "archived_counts")]
_LINE = [schema.journal.c[name] for name in ("sequence", "body")]
_TASK = [each for each in schema.task.c if each.name != "body"]


@dataclass(frozen=True)
class Due:
    """Rows of one operation that are to be moved next."""

    operation: Row[Any]
    tasks: Sequence[Row[Any]]
    lines: Sequence[Row[Any]]


@dataclass(frozen=True)
class Portion:
    """What is moved of one operation at once, packed."""

    operation_id: str
    seen: tuple[int, bytes]
    """What was archived of it when this was read: who finds more came too late."""

    counts: TaskCounts
    """Archived tasks, with those of this portion."""

    task_ids: Sequence[str]
    task_parts: Sequence[tuple[str, bytes]]
    sequences: Sequence[int]
    journal_parts: Sequence[tuple[int, bytes]]


def due(connection: Connection, ended_before: int) -> list[Due]:
    """Read what is to be moved next: what ended first goes first."""
    table = schema.operation
    query = (
        select(*_OPERATION)
        .where(table.c.place == archive.Place.LIVE, table.c.ended > 0)
        .where(table.c.ended < ended_before)
        .order_by(table.c.ended)
        .limit(OPERATIONS)
    )
    found: list[Due] = []
    tasks, rows = TASKS, ROWS
    for row in connection.execute(query).all():
        found.append(_due(connection, row, tasks, rows))
        tasks -= len(found[-1].tasks)
        rows -= len(found[-1].lines)
        if tasks <= 0 or rows <= 0:
            break
    return found


def _due(connection: Connection, operation: Row[Any], tasks: int, rows: int) -> Due:
    task, line = schema.task, schema.journal
    # In the order of indexes: each time only what is moved is read.
    of_tasks = select(*_TASK).where(task.c.operation_id == operation.id).order_by(task.c.key)
    of_lines = select(*_LINE).where(line.c.operation_id == operation.id).order_by(line.c.sequence)
    return Due(
        operation,
        connection.execute(of_tasks.limit(tasks)).all(),
        connection.execute(of_lines.limit(rows)).all(),
    )


def pack(found: Iterable[Due]) -> list[Portion]:
    """Pack what was read."""
    return [
        Portion(
            operation_id=each.operation.id,
            seen=seen(each.operation),
            counts=_counted(each.operation.archived_counts, (task.state for task in each.tasks)),
            task_ids=[task.id for task in each.tasks],
            task_parts=_task_parts(each.tasks),
            sequences=[line.sequence for line in each.lines],
            journal_parts=_journal_parts(each.lines),
        )
        for each in found
    ]


def seen(operation: Row[Any]) -> tuple[int, bytes]:
    """Give what tells how much of an operation is archived: it changes with every portion."""
    return operation.archived_to, operation.archived_counts or b""


def _counted(before: bytes | None, states: Iterable[int]) -> TaskCounts:
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
