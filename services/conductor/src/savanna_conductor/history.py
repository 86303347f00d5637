"""What was done: the tasks of operations with their attempts, and progress as users see it.

Plain functions on one snapshot.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.operation.v1 import operation_pb2
from savanna_conductor import journal, operations, queries
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Task = operation_pb2.Task

_OF_ATTEMPTS = (Entry.KIND_TASK_ASSIGNED, Entry.KIND_TASK_ENDED, Entry.KIND_TASK_RETRIED)


def history(connection: Connection, operation_id: str) -> list[operation_pb2.TaskHistory]:
    """Read the tasks of an operation without bodies, and their attempts from the journal."""
    attempts: dict[str, list[Attempt]] = defaultdict(list)
    for entry in journal.of_operation(connection, operation_id):
        if entry.kind in _OF_ATTEMPTS:
            _note(attempts[entry.task_id], entry)
    tasks = queries.tasks(connection, [operation_id])
    _note_running(connection, tasks, attempts)
    return [operation_pb2.TaskHistory(task=task, attempts=attempts[task.id]) for task in tasks]


def _note(attempts: list[Attempt], entry: Entry) -> None:
    """Add what an entry says of attempts.

    Polls that changed nothing were not told: what follows them continues the attempt before.
    """
    last = attempts[-1] if attempts else None
    if last is None or entry.kind == Entry.KIND_TASK_ASSIGNED or last.HasField("end_time"):
        last = Attempt(start_time=entry.time)
        attempts.append(last)
    last.epoch = entry.epoch
    last.engine_id = entry.engine_id
    if entry.kind == Entry.KIND_TASK_ASSIGNED:
        return
    last.end_time.CopyFrom(entry.time)
    last.outcome = entry.outcome
    if entry.HasField("failure"):
        last.failure.CopyFrom(entry.failure)


def _note_running(
    connection: Connection, tasks: Sequence[Task], attempts: Mapping[str, Sequence[Attempt]]
) -> None:
    """Say of attempts under way where they are: hand-outs of further polls were not told."""
    running = [each for each in tasks if each.state == Task.STATE_ASSIGNED and attempts[each.id]]
    table = schema.engine_session
    sessions = {each.session_id for each in running}
    query = select(table.c.id, table.c.engine_id)
    rows = queries.in_chunks(connection, query, table.c.id, sessions)
    engines = {row.id: row.engine_id for row in rows}
    for task in running:
        last = attempts[task.id][-1]
        last.epoch = task.epoch
        last.engine_id = engines.get(task.session_id, last.engine_id)


def progress(connection: Connection, name: messages.OwnedName) -> list[messages.ProgressStep]:
    """Group the tasks of a cluster's exclusive operations by title."""
    table = schema.operation
    rows = connection.execute(
        select(table.c.id, table.c.goal)
        .where(
            table.c.cluster_id == name.id,
            table.c.project_id == name.project_id,
            table.c.goal.in_(operations.EXCLUSIVE),
        )
        .order_by(table.c.created)
    ).all()
    goals = {row.id: row.goal for row in rows}
    steps: dict[tuple[str, str], messages.ProgressStep] = {}
    for task in queries.tasks(connection, goals):
        key = (task.operation_id, task.spec.title)
        if key not in steps:
            steps[key] = messages.ProgressStep(
                id=str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(key))),
                operation_id=task.operation_id,
                goal=goals[task.operation_id],
                title=task.spec.title,
            )
        steps[key].tasks.append(task)
    return list(steps.values())
