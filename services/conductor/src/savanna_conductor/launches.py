"""What launches took, measured when they have succeeded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation, Task
from savanna_conductor import metrics, queries
from savanna_conductor.store import schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from savanna_conductor.store.transaction import Store

log = logs.get_logger(__name__)

_BOOT = "await_server"
_NODES = (1, 5, 10, 50, 100, 500, 1000)
_ENGINES = (1, 2, 4, 8)


@dataclass(frozen=True)
class Launch:
    """A launch that succeeded; times are seconds."""

    took: float
    longest_boot: float
    nodes: int
    engines: int


async def measure(store: Store, operation_ids: Iterable[str]) -> None:
    """Measure those operations that were launches."""
    try:
        for operation_id in operation_ids:
            launch = await store.read(partial(read, operation_id=operation_id))
            if launch is not None:
                labels = between(launch.nodes, _NODES), between(launch.engines, _ENGINES)
                metrics.CREATION_SECONDS.record(launch.took, *labels)
                rest = max(0.0, launch.took - launch.longest_boot)
                metrics.CREATION_SECONDS_WITHOUT_BOOT.record(rest, *labels)
    except SavannaError as error:
        # It is stored, whatever becomes of its measurement.
        log.warning("launch_not_measured", error=str(error))


def read(connection: Connection, *, operation_id: str) -> Launch | None:
    """Read what an operation took; None unless it is a launch that succeeded."""
    operation = queries.operation(connection, operation_id)
    if (operation.goal, operation.state) != (Operation.GOAL_LAUNCH, Operation.STATE_SUCCEEDED):
        return None
    tasks = queries.tasks(connection, [operation_id])
    took = _between(operation.create_time.ToMicroseconds(), operation.end_time.ToMicroseconds())
    return Launch(
        took=took,
        longest_boot=longest_boot(tasks),
        nodes=_nodes(connection, operation.cluster_id),
        engines=_engines(connection, tasks),
    )


def longest_boot(tasks: Sequence[Task]) -> float:
    """Give the seconds of the server that took longest to boot: from when it was made until it let
    somebody in."""
    ends = {each.spec.key: each.end_time.ToMicroseconds() for each in tasks}
    boots = [
        _between(
            max(
                [each.create_time.ToMicroseconds(), *(ends.get(key, 0) for key in each.spec.needs)]
            ),
            each.end_time.ToMicroseconds(),
        )
        for each in tasks
        if each.spec.kind == _BOOT and each.state == Task.STATE_SUCCEEDED
    ]
    return max(boots, default=0.0)


def between(number: int, bounds: Sequence[int]) -> str:
    """Give the range of a number, as "1", "2-5" or "1001+": a label has few values."""
    below = 0
    for bound in bounds:
        if number <= bound:
            return str(bound) if bound == below + 1 else f"{below + 1}-{bound}"
        below = bound
    return f"{below + 1}+"


def _between(begin: int, end: int) -> float:
    return (end - begin) / 1_000_000


def _nodes(connection: Connection, cluster_id: str) -> int:
    table = schema.instance
    query = select(func.count()).where(
        table.c.cluster_id == cluster_id, table.c.state != Instance.STATE_DELETED
    )
    return int(connection.execute(query).scalar_one())


def _engines(connection: Connection, tasks: Sequence[Task]) -> int:
    table = schema.engine_session
    sessions = {each.session_id for each in tasks if each.session_id}
    query = select(table.c.id, table.c.engine_id)
    rows = queries.in_chunks(connection, query, table.c.id, sessions)
    return len({row.engine_id for row in rows})
