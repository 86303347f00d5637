"""Reading metrics of an engine, whenever somebody looks."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from savanna_engine import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from savanna_engine.runner import Runner
    from savanna_engine.schedulers import Schedulers

    Values = Mapping[tuple[str, ...], float]


@asynccontextmanager
async def readings(runner: Runner, schedulers: Schedulers) -> AsyncIterator[None]:
    """Have the metrics of an engine read while the block lasts."""

    def slots() -> Values:
        return {(pool,): size for pool, size in schedulers.slots.items()}

    def busy() -> Values:
        return {(pool,): runner.busy[pool] for pool in schedulers.slots}

    def owed() -> Values:
        session = schedulers.session
        return {} if session is None else {(): session.owed}

    def margin() -> Values:
        session = schedulers.session
        return {} if session is None else {(): session.margin}

    async with AsyncExitStack() as stack:
        for gauge, read in (
            (metrics.SLOTS, slots),
            (metrics.SLOTS_BUSY, busy),
            (metrics.UNACKNOWLEDGED_RESULTS, owed),
            (metrics.FENCE_MARGIN_SECONDS, margin),
        ):
            await stack.enter_async_context(gauge.read_by(read))
        yield
