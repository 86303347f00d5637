"""Deadlines: no operation is under way for ever; one that is too long is led to its end.

The database's clock decides, and any conductor may see it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert, operations
from savanna_conductor.store import dialect, schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)

Operation = operation_pb2.Operation
_PAUSE_SECONDS = 1.0
_UNDER_WAY = (Operation.STATE_PENDING, Operation.STATE_RUNNING)


def limits(given: ConductorSettings) -> Mapping[int, float]:
    """Give the seconds that operations may take, by goal; goals without a limit are left out."""
    seconds = {
        Operation.GOAL_LAUNCH: given.launch_deadline_seconds,
        Operation.GOAL_SCALE: given.scale_deadline_seconds,
        Operation.GOAL_DELETE: given.delete_deadline_seconds,
        Operation.GOAL_RUN_JOB: given.job_deadline_seconds,
    }
    return {goal: each for goal, each in seconds.items() if each}


async def keep(store: Store) -> None:
    """Look for passed deadlines, for ever."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            if await store.read(late):
                await store.write(expire)
        except SavannaError as error:
            log.warning("deadlines_not_kept", error=str(error))


def late(connection: Connection) -> list[Operation]:
    """List operations under way whose deadline has passed."""
    table = schema.operation
    now = dialect.now(connection)
    query = select(table).where(table.c.state.in_(_UNDER_WAY), table.c.cancel_requested.is_(False))
    found = [convert.operation(row) for row in connection.execute(query)]
    return [
        each
        for each in found
        if each.HasField("deadline") and each.deadline.ToMicroseconds() <= now
    ]


def expire(transaction: Transaction) -> None:
    """Lead operations whose deadline has passed to their end, as a cancel would."""
    for operation in late(transaction.connection):
        log.warning("deadline_exceeded", operation_id=operation.id)
        operation.deadline_exceeded = True
        transaction.connection.execute(
            update(schema.operation)
            .where(schema.operation.c.id == operation.id)
            .values(body=operation.SerializeToString())
        )
        operations.request_cancel(transaction, operation)
