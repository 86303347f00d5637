"""Outcomes of commits as they are stored: of new tasks their ids alone, the rest lies with the
tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor import queries
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction

Task = operation_pb2.Task


def bare(response: execution.CommitResponse) -> bytes:
    """Serialise an outcome."""
    if not any(each.spawned for each in response.verdicts):
        return response.SerializeToString()
    stored = execution.CommitResponse()
    for verdict in response.verdicts:
        kept = stored.verdicts.add(code=verdict.code)
        for task in verdict.spawned:
            kept.spawned.add(id=task.id)
    return stored.SerializeToString()


def read(transaction: Transaction, stored: bytes) -> execution.CommitResponse:
    """Read a stored outcome, whole again: only the one who asks could have changed its tasks."""
    response = execution.CommitResponse.FromString(stored)
    spawned = {task.id: task for verdict in response.verdicts for task in verdict.spawned}
    table = schema.task
    query = select(table.c.id, table.c.operation_id, table.c.spec, table.c.body)
    for row in queries.in_chunks(transaction.connection, query, table.c.id, spawned):
        task = spawned[row.id]
        task.operation_id, task.state = row.operation_id, Task.STATE_PENDING
        task.spec.ParseFromString(row.spec)
        task.spec.body = row.body
    return response
