"""Reading metrics from the incarnation that lives, whenever somebody looks."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from savanna_scheduler import metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from savanna_kit.metrics import Gauge
    from savanna_scheduler.core.sessions import Session
    from savanna_scheduler.incarnation import Incarnation
    from savanna_scheduler.service import SchedulerService

    Values = Mapping[tuple[str, ...], float]

_PROJECTS = 50
"""So many of those that wait longest are told."""


@asynccontextmanager
async def readings(service: SchedulerService) -> AsyncIterator[None]:
    """Have the metrics of a scheduler read while the block lasts."""

    def of_it(read: Callable[[Incarnation], Values]) -> Callable[[], Values]:
        def values() -> Values:
            incarnation = service.living
            return {} if incarnation is None else read(incarnation)

        return values

    async with AsyncExitStack() as stack:
        for gauge, read in _READ.items():
            await stack.enter_async_context(gauge.read_by(of_it(read)))
        dropped = metrics.STALE_RESULTS.read_by(lambda: {(): service.stale_results})
        await stack.enter_async_context(dropped)
        yield


def ready_tasks(incarnation: Incarnation) -> Values:
    """Count ready tasks by pool."""
    return _counted((node.spec.pool,) for node in incarnation.core.hand_out.waiting())


def oldest_ready(incarnation: Incarnation) -> Values:
    """Give the age of the oldest ready task of each project, in seconds."""
    oldest: dict[str, float] = {}
    for node in incarnation.core.hand_out.waiting():
        project = node.graph.operation.project_id
        oldest[project] = min(node.ready_at, oldest.get(project, node.ready_at))
    longest = sorted(oldest.items(), key=lambda each: each[1])[:_PROJECTS]
    now = time.monotonic()
    return {(project,): now - since for project, since in longest}


def engines(incarnation: Incarnation) -> Values:
    """Count engines by what they are up to."""
    sessions = incarnation.core.sessions

    def state(each: Session) -> str:
        if not each.connected:
            return "silent"
        if each.leaving:
            return "leaving"
        return "drained" if each.id in sessions.drained else "connected"

    none: Values = {(name,): 0 for name in ("connected", "drained", "leaving", "silent")}
    return {**none, **_counted((state(each),) for each in sessions)}


def slots(incarnation: Incarnation) -> Values:
    """Count the slots of connected engines that are busy and free, by pool."""
    found: Counter[tuple[str, ...]] = Counter()
    for each in incarnation.core.sessions:
        if each.connected:
            for pool, whole in each.slots.items():
                busy = each.used[pool]
                found[pool, "busy"] += busy
                found[pool, "free"] += max(0, whole - busy)
    return found


def _counted(found: Iterable[tuple[str, ...]]) -> Values:
    return Counter(found)


_READ: Mapping[Gauge, Callable[[Incarnation], Values]] = {
    metrics.OPERATIONS: lambda it: {(): len(it.core.operations)},
    metrics.READY_TASKS: ready_tasks,
    metrics.OLDEST_READY_SECONDS: oldest_ready,
    metrics.ENGINES: engines,
    metrics.SLOTS: slots,
    metrics.UNACKNOWLEDGED_OFFERS: lambda it: {(): it.engines.offers.count()},
    metrics.OLDEST_OFFER_SECONDS: lambda it: {(): it.engines.offers.oldest_seconds()},
    metrics.LEASE_MARGIN_SECONDS: lambda it: {(): it.lease_until - time.monotonic()},
}
