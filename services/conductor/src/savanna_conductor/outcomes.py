"""Outcomes of commits as they are stored: the bodies of new tasks lie with the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_conductor import queries
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction


def bare(response: execution.CommitResponse) -> bytes:
    """Serialise an outcome; the bodies of new tasks are stored with them already."""
    stored = execution.CommitResponse()
    stored.CopyFrom(response)
    for verdict in stored.verdicts:
        for task in verdict.spawned:
            task.spec.ClearField("body")
    return stored.SerializeToString()


def read(transaction: Transaction, stored: bytes) -> execution.CommitResponse:
    """Read a stored outcome, whole again."""
    response = execution.CommitResponse.FromString(stored)
    spawned = {task.id: task for verdict in response.verdicts for task in verdict.spawned}
    table = schema.task
    query = select(table.c.id, table.c.body)
    for row in queries.in_chunks(transaction.connection, query, table.c.id, spawned):
        spawned[row.id].spec.body = row.body
    return response
