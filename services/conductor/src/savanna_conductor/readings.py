"""Reading metrics of what is stored: now and then, for a look at the database takes time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from savanna.operation.v1.operation_pb2 import Operation
from savanna_conductor import metrics, operations
from savanna_conductor.store import dialect, schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError
from savanna_kit.metrics import is_on

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from sqlalchemy import Connection

    from savanna_conductor.store.transaction import Store
    from savanna_kit.metrics import Gauge

    Values = dict[tuple[str, ...], float]

log = logs.get_logger(__name__)
_PAUSE_SECONDS = 1.0


class Readings:
    """What was last read, given to whoever looks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._found: Mapping[Gauge, Values] = {}

    async def keep(self) -> None:
        """Read again and again, for ever, while anything is measured."""
        while True:
            if is_on():
                try:
                    self._found = await self._store.read(look)
                except SavannaError as error:
                    # Nothing is told rather than what was.
                    self._found = {}
                    log.warning("metrics_not_read", error=str(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    @asynccontextmanager
    async def given(self) -> AsyncIterator[None]:
        """Have the metrics read from here while the block lasts."""

        def values(gauge: Gauge) -> Values:
            return self._found.get(gauge, {})

        async with AsyncExitStack() as stack:
            for gauge in (
                metrics.CLUSTERS_LAUNCHING,
                metrics.OPERATIONS,
                metrics.OLDEST_UNOWNED_SECONDS,
                metrics.LIVING,
            ):
                await stack.enter_async_context(gauge.read_by(partial(values, gauge)))
            yield


def look(connection: Connection) -> Mapping[Gauge, Values]:
    """Read how much there is of what has not ended; what has ended is not touched."""
    table = schema.operation
    query = select(table.c.goal, table.c.state, func.count())
    query = query.where(table.c.state.in_(operations.OPEN)).group_by(table.c.goal, table.c.state)
    rows = connection.execute(query).all()
    launching = sum(count for goal, _, count in rows if goal == Operation.GOAL_LAUNCH)
    return {
        metrics.CLUSTERS_LAUNCHING: {(): launching},
        metrics.OPERATIONS: {(_goal(goal), _state(state)): count for goal, state, count in rows},
        metrics.OLDEST_UNOWNED_SECONDS: {(): _oldest_unowned(connection)},
        metrics.LIVING: _living(connection),
    }


def _oldest_unowned(connection: Connection) -> float:
    table = schema.operation
    query = select(func.min(table.c.created)).where(
        table.c.state.in_((Operation.STATE_PENDING, Operation.STATE_RUNNING)),
        table.c.owner.is_(None),
    )
    oldest = connection.execute(query).scalar_one()
    return 0.0 if oldest is None else (dialect.now(connection) - oldest) / 1_000_000


def _living(connection: Connection) -> Values:
    now = dialect.now(connection)
    found: Values = {}
    for kind, table, over in (
        ("scheduler", schema.scheduler, schema.scheduler.c.lost),
        ("engine", schema.engine_session, schema.engine_session.c.ended),
    ):
        query = select(func.count()).select_from(table)
        query = query.where(over.is_(False), table.c.lease_until >= now)
        found[(kind,)] = connection.execute(query).scalar_one()
    return found


def _goal(goal: Operation.Goal.ValueType) -> str:
    return Operation.Goal.Name(goal).removeprefix("GOAL_").lower()


def _state(state: Operation.State.ValueType) -> str:
    return Operation.State.Name(state).removeprefix("STATE_").lower()
