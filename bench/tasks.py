"""``make bench-tasks``: how many tasks a second, and what each costs; the tasks do nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import meshes, task_floor, task_mesh, workloads
from bench.peers import known, ratios
from bench.peers.measure import measure as measure_peer
from bench.tables import Table, times
from savanna.operation.v1.operation_pb2 import Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.known import Peer
    from bench.task_mesh import Note, TaskBench
    from savanna.operation.v1.operation_pb2 import Operation

OTHERS = {
    "W1": "Celery 670-1,270, Dask 630-725 (not durable), Procrastinate 290-625, Temporal 150-370, "
    "DBOS 140-440, TaskFlow 15-43",
    "W3": "DBOS 380-440, Dask 106-144, Celery 81-178, Temporal 22",
    "W4": "Dask 398-493 (not durable)",
}
"""Tasks a second of others, measured on the same kind of machine; see docs/benchmarks.md."""


@dataclass(frozen=True)
class Workload:
    """What is asked for: the name says which tasks, ``copies`` how many operations."""

    title: str
    name: str
    copies: int = 1


@dataclass
class Run:
    """What a workload came to."""

    workload: Workload
    tasks: int
    seconds: float
    cpu: dict[str, float]
    commits: int
    entries: int
    waits: list[float] = field(default_factory=list)
    """Seconds from ready to begun of each task that waited for others, sorted."""

    @property
    def rate(self) -> float:
        """Tasks a second, end to end."""
        return self.tasks / self.seconds


@dataclass
class Neighbours:
    """Waits of one tenant, sorted: alone, and beside another with many tasks."""

    idle: list[float]
    busy: list[float]


@dataclass
class Found:
    """Everything that was measured on one database."""

    database: str
    runs: list[Run]
    floor: tuple[float, float, int]
    """Seconds, CPU seconds, tasks."""

    neighbours: Neighbours | None


def chosen(scale: float = 1.0) -> list[Workload]:
    """Give the workloads, all or in small."""

    def part(number: int) -> int:
        return max(2, int(number * scale))

    return [
        Workload("W1 one operation", f"fan-{part(10_000)}"),
        Workload("W2 many operations", f"fan-{part(100)}", copies=part(100)),
        Workload("W3 chain", f"chain-{part(1_000)}"),
        Workload("W4 launch", f"launch-{part(1_000)}"),
        Workload("W5 launch, 2 % fail, all back", f"rollback-{max(50, part(1_000))}"),
    ]


async def measure(
    database: str, wanted: Sequence[Workload], *, repeat: int = 1, crowd: int = 10_000
) -> Found:
    """Run workloads one after the other on one mesh, each several times: the best of them."""
    with task_mesh.running(database) as bench:
        # The first of all opens connections and loads code.
        await _one(bench, Workload("warm", "fan-200"), 0)
        runs = []
        for workload in wanted:
            tried = [await _one(bench, workload, number) for number in range(repeat)]
            runs.append(max(tried, key=lambda each: each.rate))
        neighbours = await _neighbours(bench, crowd) if crowd else None
        size = max((each.tasks for each in runs), default=1000)
        floor = (*task_floor.measure(bench.database, size), size)
    return Found(database, runs, floor, neighbours)


async def _one(bench: TaskBench, workload: Workload, number: int) -> Run:
    names = [f"{workload.name}-{number}-{copy}" for copy in range(workload.copies)]
    before, begun = bench.counts(), time.perf_counter()
    operations = await bench.submit("tenant", names)
    await bench.ended(operations)
    seconds, after = time.perf_counter() - begun, bench.counts()
    return Run(
        workload,
        _check(bench, operations, workload),
        seconds,
        {name: after.cpu[name] - before.cpu[name] for name in after.cpu},
        after.commits - before.commits,
        after.journal - before.journal,
        sorted(_waits(bench, operations, workload)),
    )


def _check(bench: TaskBench, operations: Sequence[Operation], workload: Workload) -> int:
    """Count tasks, plans included; raises when one is not where it belongs."""
    states = bench.task_states([each.id for each in operations])
    ended = {Task.STATE_SUCCEEDED, Task.STATE_FAILED, Task.STATE_SKIPPED}
    kind, _ = workloads.shape(workload.name)
    failing = kind == "rollback"
    if set(states) - ended or (len(states) > 1) != failing:
        raise RuntimeError(f"{workload.title}: tasks ended so: {states}")
    return sum(states.values())


def _waits(bench: TaskBench, operations: Sequence[Operation], workload: Workload) -> list[float]:
    """Give for each task that needs others the time from the end of the last to its own begin."""
    ids = {each.id for each in operations}
    notes = {(each.operation_id, each.key): each for each in bench.notes()}
    needs = {key: needed for key, _, needed in workloads.graph(workload.name) if needed}
    return [
        _wait(notes, operation_id, key, needed)
        for operation_id in ids
        for key, needed in needs.items()
        if (operation_id, key) in notes
    ]


def _wait(
    notes: dict[tuple[str, str], Note], operation_id: str, key: str, needs: list[str]
) -> float:
    ready = max(notes[operation_id, each].ended for each in needs)
    return notes[operation_id, key].begun - ready


async def _neighbours(bench: TaskBench, crowd: int) -> Neighbours:
    """Measure the waits of a tenant whose tasks become ready one every 100 ms: alone, and while
    another has thousands."""
    ticks = Workload("ticks", "ticks-100")
    alone = await bench.submit("small", [f"{ticks.name}-idle"])
    await bench.ended(alone)
    beside = await bench.submit("small", [f"{ticks.name}-busy"])
    number = 0
    while not await _has_ended(bench, beside):
        large = await bench.submit("large", [f"fan-{crowd}-{number}"])
        number += 1
        await bench.ended(large)
    return Neighbours(sorted(_waits(bench, alone, ticks)), sorted(_waits(bench, beside, ticks)))


async def _has_ended(bench: TaskBench, operations: Sequence[Operation]) -> bool:
    try:
        async with asyncio.timeout(0.001):
            await bench.ended(operations)
    except TimeoutError:
        return False
    return True


def report(found: Sequence[Found]) -> str:
    """Write down what was measured."""
    return "\n".join(str(each) for each in (_rates(found), _costs(found), _crowds(found)))


def _rates(found: Sequence[Found]) -> Table:
    table = Table(
        "Tasks that do nothing, from the request until the operation's end is stored",
        ("workload", "database", "tasks", "s", "tasks/s", "floor", "of floor", "p50 ms", "p99 ms",
         "commits", "tasks/commit", "others"),
        notes=(
            "floor: tasks a second when the database's driver alone writes the same rows",
            "p50, p99: from ready to begun, of tasks that need others; many at once also wait",
            "others: tasks a second, measured on the same kind of machine",
        ),
    )  # fmt: skip
    for each in found:
        floor = each.floor[2] / each.floor[0]
        for run in each.runs:
            table.add(
                run.workload.title, each.database, run.tasks, run.seconds, run.rate, floor,
                times(run.rate, floor), quantile(run.waits, 0.5), quantile(run.waits, 0.99),
                run.commits, run.tasks / max(1, run.commits), OTHERS.get(run.workload.title[:2]),
            )  # fmt: skip
    return table


def _costs(found: Sequence[Found]) -> Table:
    names = list(dict.fromkeys(n for each in found for run in each.runs for n in run.cpu))
    table = Table(
        "CPU seconds for 1,000 tasks",
        ("workload", "database", *names, "sum", "floor", "journal/task"),
        notes=("floor: of the process that writes the rows; a database server's own comes on top",),
    )
    for each in found:
        floor = 1000 * each.floor[1] / each.floor[2]
        for run in each.runs:
            shares = {name: 1000 * spent / run.tasks for name, spent in run.cpu.items()}
            table.add(
                run.workload.title, each.database, *(shares.get(name) for name in names),
                sum(shares.values()), floor, run.entries / run.tasks,
            )  # fmt: skip
    return table


def _crowds(found: Sequence[Found]) -> Table:
    table = Table(
        "W6: a tenant with one task every 100 ms beside one with thousands, ready to begun in ms",
        ("database", "idle p50", "idle p99", "busy p50", "busy p99", "p99 is"),
    )
    for each in found:
        if each.neighbours is not None:
            idle, busy = each.neighbours.idle, each.neighbours.busy
            worst = (quantile(idle, 0.99), quantile(busy, 0.99))
            table.add(
                each.database, quantile(idle, 0.5), worst[0], quantile(busy, 0.5), worst[1],
                times(worst[1] or 0.0, worst[0] or 0.0),
            )  # fmt: skip
    return table


def beside(peers: Sequence[Peer], wanted: Sequence[Workload], database: str, scale: float) -> Table:
    """Measure other systems, each right after Savanna did the same: machines have moods."""
    pairs = []
    for peer in peers:
        shared = [each for each in wanted if each.title[:2] in peer.sizes]
        runs = asyncio.run(measure(database, shared, crowd=0)).runs
        savanna = {run.workload.title[:2]: _reference(run) for run in runs}
        outcomes = measure_peer(peer, list(savanna), scale=scale)
        pairs += [(outcome, savanna[outcome.workload]) for outcome in outcomes]
    return ratios.table(pairs, database)


def _reference(run: Run) -> ratios.Reference:
    return ratios.Reference(run.rate, 1000 * sum(run.cpu.values()) / run.tasks)


def quantile(waits: Sequence[float], part: float) -> float | None:
    """Give the milliseconds within which this part of sorted waits was over."""
    return 1000 * waits[min(len(waits) - 1, int(part * len(waits)))] if waits else None


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-tasks", description=__doc__)
    parser.add_argument("--database", choices=meshes.DATABASES, nargs="*", default=meshes.DATABASES)
    parser.add_argument("--only", nargs="*", default=["W1", "W2", "W3", "W4", "W5", "W6"])
    parser.add_argument("--scale", type=float, default=1.0, help="share of the tasks")
    parser.add_argument("--repeat", type=int, default=1, help="times each; the best of them")
    parser.add_argument("--peers", nargs="*", default=[], help="other systems too; 1 for all")
    given = parser.parse_args()
    try:
        peers = known.chosen(given.peers)
    except ValueError as error:
        parser.error(str(error))
    meshes.end_in_order()
    print(f"{meshes.machine()}, repeat {given.repeat}\n", flush=True)
    wanted = [each for each in chosen(given.scale) if each.title[:2] in given.only]
    crowd = int(10_000 * given.scale) if "W6" in given.only else 0
    found = [
        asyncio.run(measure(each, wanted, repeat=given.repeat, crowd=crowd))
        for each in given.database
    ]
    print(report(found), flush=True)
    if peers:
        print(beside(peers, wanted, given.database[-1], given.scale))
    return 0


if __name__ == "__main__":
    sys.exit(main())
