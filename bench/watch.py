"""``make bench-watch``: how soon those who watch see what an engine did, while it is busy."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import meshes, task_mesh
from bench.tables import Table
from bench.tasks import quantile
from savanna.operation.v1.operation_pb2 import JournalEntry
from savanna_client import Client, ends_operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.task_mesh import TaskBench
    from savanna.operation.v1.operation_pb2 import Operation

PROJECT = "default"
AIM_MS = 500.0
"""Within which 99 of 100 ends shall be seen."""


@dataclass(frozen=True)
class Load:
    """What goes on while it is watched: so many operations, each of this workload."""

    title: str
    name: str
    copies: int


LOADS = (
    Load("one chain", "ticks-40", 1),
    Load("50 chains, a step each 100 ms", "ticks-40", 50),
    Load("as fast as it goes", "fan-200", 50),
)


@dataclass
class Seen:
    """What users saw of one load."""

    load: Load
    users: int
    ends: int
    seconds: float
    delays: list[float]
    """Seconds from the end of a step at its engine until a user had it, sorted."""

    cpu: dict[str, float]


class Watcher:
    """A user who follows everything that happens in the project, from now on."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.seen: dict[tuple[str, str], float] = {}
        """When the end of each task arrived, by operation and key, by the machine's clock."""

        self.ended: set[str] = set()

    async def follow(self) -> None:
        """Note when the end of each task arrives, for ever."""
        async for entry in self._client.watch():
            if entry.kind == JournalEntry.KIND_TASK_ENDED:
                self.seen[entry.operation_id, entry.task_key] = time.monotonic()
            elif ends_operation(entry, entry.operation_id):
                self.ended.add(entry.operation_id)


async def measure(database: str, *, users: int, loads: Sequence[Load] = LOADS) -> list[Seen]:
    """Put one load after the other on a mesh while so many users watch."""
    with task_mesh.running(database, is_watched=True) as bench:
        async with AsyncExitStack() as stack:
            watchers = [
                Watcher(await stack.enter_async_context(Client(bench.mesh.plan.grpc)))
                for _ in range(users)
            ]
            tasks = [asyncio.create_task(each.follow()) for each in watchers]
            try:
                # The first of all opens connections and loads code.
                await _one(bench, watchers, Load("warm", "fan-20", 1), "warm")
                return [
                    await _one(bench, watchers, load, str(number))
                    for number, load in enumerate(loads)
                ]
            finally:
                for each in tasks:
                    each.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def _one(bench: TaskBench, watchers: Sequence[Watcher], load: Load, name: str) -> Seen:
    before, begun = bench.counts(), time.perf_counter()
    names = [f"{load.name}-{name}-{copy}" for copy in range(load.copies)]
    operations = await bench.submit(PROJECT, names)
    await _all_seen(watchers, operations)
    seconds, after = time.perf_counter() - begun, bench.counts()
    ids = {each.id for each in operations}
    ends = [each for each in bench.notes() if each.operation_id in ids]
    delays = sorted(
        watcher.seen[each.operation_id, each.key] - each.ended
        for watcher in watchers
        for each in ends
    )
    cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
    return Seen(load, len(watchers), len(ends), seconds, delays, cpu)


async def _all_seen(watchers: Iterable[Watcher], operations: Sequence[Operation]) -> None:
    wanted = {each.id for each in operations}
    while not all(wanted <= each.ended for each in watchers):
        await asyncio.sleep(0.02)


def report(found: dict[str, list[Seen]]) -> str:
    """Write down what was measured."""
    table = Table(
        "From the end of a step at its engine until a user has it",
        ("load", "database", "users", "steps/s", "p50 ms", "p99 ms", "most ms", "p99 of aim"),
        notes=(f"aim: {AIM_MS:.0f} ms for 99 of 100",),
    )
    costs = Table(
        "CPU seconds for 1,000 steps that each user sees",
        ("load", "database", "gateway", "conductor", "scheduler", "engines"),
    )
    for database, each in found.items():
        for seen in each:
            p99 = quantile(seen.delays, 0.99) or 0.0
            table.add(
                seen.load.title, database, seen.users, seen.ends / seen.seconds,
                quantile(seen.delays, 0.5), p99, quantile(seen.delays, 1.0), p99 / AIM_MS,
            )  # fmt: skip
            shares = {name: 1000 * spent / seen.ends for name, spent in seen.cpu.items()}
            costs.add(
                seen.load.title, database,
                *(shares[name] for name in ("gateway", "conductor", "scheduler", "engines")),
            )  # fmt: skip
    return f"{table}\n{costs}"


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-watch", description=__doc__)
    parser.add_argument("--database", choices=meshes.DATABASES, nargs="*", default=meshes.DATABASES)
    parser.add_argument("--users", type=int, default=10, help="who watch, all of them everything")
    given = parser.parse_args()
    meshes.end_in_order()
    print(f"{meshes.machine()}\n", flush=True)
    found = {each: asyncio.run(measure(each, users=given.users)) for each in given.database}
    print(report(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
