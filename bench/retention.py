"""``make bench-retention``: what a launch costs beside a million finished tasks, before they are
archived, meanwhile and afterwards; each time next to the same launch on an empty database."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import finished, meshes, task_mesh
from bench.tables import Table, times
from savanna_conductor import retention
from savanna_conductor.store import dialect
from savanna_conductor.store.transaction import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.task_mesh import TaskBench
    from savanna.operation.v1.operation_pb2 import Operation

_HOURS = 2
_BEGINS_SECONDS = 120.0


@dataclass(frozen=True)
class Cost:
    """What one launch took: seconds, and CPU seconds by process."""

    seconds: float
    cpu: dict[str, float]


@dataclass(frozen=True)
class Stage:
    """The same launch in the empty database and in the full one: the best of several."""

    title: str
    hot: int
    """Tasks in the full one that are not in its archive."""

    empty: Cost
    full: Cost


@dataclass
class Found:
    """All that was measured on one database."""

    database: str
    finished: int
    fill_seconds: float
    archived: int
    archive_seconds: float
    stages: list[Stage]


async def measure(database: str, *, tasks: int, workload: str, repeat: int) -> Found:
    """Run a launch on two meshes by turns, so that what else the machine does is the same for
    both."""
    with task_mesh.running(database) as empty, task_mesh.running(database) as full:
        pair = _Pair(empty, full, workload, repeat)
        copied = await pair.warm_up()
        stages = [await pair.stage("neither has finished tasks")]
        number, seconds = finished.fill(full.database, copied, tasks)
        stages.append(await pair.stage("finished tasks"))
        finished.age(full.database, _HOURS)
        await _archiving_begins(full)
        stages.append(await pair.stage("while they are archived"))
        left, begun = finished.hot_tasks(full.database), time.perf_counter()
        await _archive(full)
        took = time.perf_counter() - begun
        archived = left - finished.hot_tasks(full.database)
        stages.append(await pair.stage("archived"))
    return Found(database, number, seconds, archived, took, stages)


class _Pair:
    def __init__(self, empty: TaskBench, full: TaskBench, workload: str, repeat: int) -> None:
        self._empty = empty
        self._full = full
        self._workload = workload
        self._repeat = repeat
        self._runs = 0

    async def warm_up(self) -> str:
        """Open connections and load code; gives an operation of the full database to copy."""
        await self._one(self._empty)
        _, operation = await self._one(self._full)
        return operation.id

    async def stage(self, title: str) -> Stage:
        hot = finished.hot_tasks(self._full.database)
        print(f"{title}: {hot:,} tasks not archived", file=sys.stderr, flush=True)
        costs: tuple[list[Cost], list[Cost]] = ([], [])
        for _ in range(self._repeat):
            for each, bench in zip(costs, (self._empty, self._full), strict=True):
                each.append((await self._one(bench))[0])
        return Stage(title, hot, *map(_best, costs))

    async def _one(self, bench: TaskBench) -> tuple[Cost, Operation]:
        self._runs += 1
        before, begun = bench.counts(), time.perf_counter()
        operations = await bench.submit("tenant", [f"{self._workload}-{self._runs}"])
        await bench.ended(operations)
        seconds, after = time.perf_counter() - begun, bench.counts()
        cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
        return Cost(seconds, cpu), operations[0]


def _best(costs: Sequence[Cost]) -> Cost:
    """Give the least of everything: what others did on the machine only adds."""
    names = costs[0].cpu
    return Cost(
        min(each.seconds for each in costs),
        {name: min(each.cpu[name] for each in costs) for name in names},
    )


async def _archiving_begins(bench: TaskBench) -> None:
    """Wait until the conductor has found what is to be archived."""
    before, deadline = finished.hot_tasks(bench.database), time.monotonic() + _BEGINS_SECONDS
    while finished.hot_tasks(bench.database) == before:
        if time.monotonic() > deadline:
            raise RuntimeError("the conductor does not archive what has ended long ago")
        await asyncio.sleep(1.0)


async def _archive(bench: TaskBench) -> None:
    """Archive the rest without the rests that a conductor makes, at the same time as it does."""
    hour = retention.Rules(hot=3600 * 1_000_000, keep=0)
    store = Store(dialect.open_engine(str(bench.mesh.plan.database_url), readers=1), readers=1)
    try:
        while await retention.batch(store, hour):
            pass
    finally:
        store.close()


def report(found: Sequence[Found], workload: str) -> str:
    """Write down what was measured."""
    table = Table(
        f"{workload} in a database with finished tasks, and in an empty one at the same time",
        ("finished tasks", "database", "not archived", "empty s", "s", "is", "conductor empty",
         "conductor", "is", "database empty", "database", "is"),
        notes=(
            "conductor, database: CPU seconds",
            "the first line compares two empty databases: how far equal things differ here",
        ),
    )  # fmt: skip
    for each in found:
        for stage in each.stages:
            cells: list[str | float | None] = [stage.empty.seconds, stage.full.seconds]
            cells.append(times(stage.full.seconds, stage.empty.seconds))
            for name in ("conductor", "database"):
                empty, full = stage.empty.cpu.get(name), stage.full.cpu.get(name)
                cells += [empty, full, times(full or 0.0, empty or 0.0)]
            table.add(stage.title, each.database, stage.hot, *cells)
    return f"{table}\n{_pace(found)}"


def _pace(found: Sequence[Found]) -> Table:
    table = Table(
        "Filling and archiving",
        ("database", "finished tasks", "filled in s", "archived at once", "in s", "tasks/s"),
    )
    for each in found:
        rate = each.archived / each.archive_seconds if each.archive_seconds else None
        table.add(
            each.database,
            each.finished,
            each.fill_seconds,
            each.archived,
            each.archive_seconds,
            rate,
        )
    return table


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-retention", description=__doc__)
    parser.add_argument("--database", choices=meshes.DATABASES, nargs="*", default=meshes.DATABASES)
    parser.add_argument("--tasks", type=int, default=1_000_000, help="finished tasks")
    parser.add_argument("--nodes", type=int, default=1_000, help="nodes of the launch")
    parser.add_argument("--repeat", type=int, default=5, help="times each; the best of them")
    given = parser.parse_args()
    meshes.end_in_order()
    print(f"{meshes.machine()}, repeat {given.repeat}\n", flush=True)
    workload = f"launch-{given.nodes}"
    found = [
        asyncio.run(measure(each, tasks=given.tasks, workload=workload, repeat=given.repeat))
        for each in given.database
    ]
    print(report(found, workload))
    return 0


if __name__ == "__main__":
    sys.exit(main())
