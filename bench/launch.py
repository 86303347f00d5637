"""``make bench-launch``: how long a launch takes, and what it costs."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench import fleet, floor, meshes
from bench.clusters import Launcher
from bench.tables import Table, times
from bench.web import line_to
from savanna.operation.v1.operation_pb2 import Attempt
from savanna.simulator.v1 import simulator_service_pb2_grpc
from savanna.simulator.v1.simulator_service_pb2 import ListCommandsRequest
from savanna_client import Client

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.floor import Floor
    from bench.meshes import Bench
    from savanna.operation.v1.operation_pb2 import TaskHistory

LOCAL = (1, 10, 50)
SIMULATED = (100, 1000)
FLEET = (100, 10)
SAHARA_SECONDS = {1: 9.0, 10: 37.0, 50: 219.0}
"""Of Sahara 19.0.0 with its fake plugin, boot not counted; see docs/benchmarks.md."""

SAHARA_CPU = 6.0
SAHARA_LOG_INS = 5


@dataclass
class Launch:
    """What one launch, and the delete after it, took."""

    nodes: int
    seconds: float
    delete_seconds: float
    cpu: dict[str, float]
    tasks: int
    commands: int
    log_ins: int | None
    spans: dict[str, tuple[float, float]] = field(default_factory=dict)
    """By kind of step: seconds from the request until the first began and until the last ended."""

    @property
    def cpu_seconds(self) -> float:
        """Of everything."""
        return sum(self.cpu.values())


@dataclass
class Size:
    """All launches of one size, and the floor for as many hosts."""

    cloud: str
    nodes: int
    launches: list[Launch]
    floor: Floor | None = None

    @property
    def typical(self) -> Launch:
        """The launch of median time."""
        return sorted(self.launches, key=lambda each: each.seconds)[len(self.launches) // 2]


async def measure(
    cloud: str, sizes: Sequence[int], *, repeat: int = 1, database: str = "sqlite"
) -> list[Size]:
    """Launch and delete clusters of each size, one after the other, on one mesh."""
    found = []
    with meshes.running(cloud, database) as bench:
        async with Client(bench.mesh.plan.grpc) as client, line_to(bench.mesh.plan.rest) as line:
            launcher = Launcher(client, line)
            # The first of all opens connections and loads code.
            await _one(bench, launcher, "warm", 1)
            for nodes in sizes:
                launches = [
                    await _one(bench, launcher, f"b{nodes}-{number}", nodes)
                    for number in range(repeat)
                ]
                found.append(Size(cloud, nodes, launches))
    if cloud == "local":
        floor.measure(1)
        for size in found:
            floors = [floor.measure(size.nodes) for _ in range(repeat)]
            size.floor = sorted(floors, key=lambda each: each.seconds)[repeat // 2]
    return found


async def _one(bench: Bench, launcher: Launcher, name: str, nodes: int) -> Launch:
    before = bench.cpu()
    cluster_id, ended = await launcher.launch(name, nodes)
    after = bench.cpu()
    tasks = await launcher.tasks(ended.operation)
    simulated = bench.mesh.plan.cloud == "simulated"
    launch = Launch(
        nodes=nodes,
        seconds=ended.seconds,
        delete_seconds=0.0,
        cpu={name: after[name] - before[name] for name in after},
        tasks=len(tasks),
        commands=await _simulated_commands(bench, name) if simulated else _commands(tasks),
        log_ins=None if simulated else bench.log_ins(),
        spans=_spans(tasks, ended.operation.create_time.ToNanoseconds()),
    )
    launch.delete_seconds = (await launcher.delete(cluster_id)).seconds
    return launch


async def _simulated_commands(bench: Bench, name: str) -> int:
    async with bench.simulator() as channel:
        control = simulator_service_pb2_grpc.SimulatorControlServiceStub(channel)
        wanted = ListCommandsRequest(name_glob=f"{name}-*")
        return len((await control.ListCommands(wanted)).commands)


def _commands(tasks: Iterable[TaskHistory]) -> int:
    """Count what was run on hosts; each attempt of a script is one command."""
    return sum(
        attempt.outcome == Attempt.OUTCOME_SUCCEEDED
        for each in tasks
        if each.task.spec.kind == "run_script"
        for attempt in each.attempts
    )


def _spans(tasks: Iterable[TaskHistory], begun: int) -> dict[str, tuple[float, float]]:
    spans: dict[str, tuple[float, float]] = {}
    for each in tasks:
        name = each.task.spec.kind
        if name == "run_script":
            name = each.task.spec.title
        first = min(
            (attempt.start_time.ToNanoseconds() for attempt in each.attempts),
            default=each.task.start_time.ToNanoseconds(),
        )
        start, end = (first - begun) / 1e9, (each.task.end_time.ToNanoseconds() - begun) / 1e9
        known = spans.get(name, (start, end))
        spans[name] = (min(known[0], start), max(known[1], end))
    return dict(sorted(spans.items(), key=lambda each: each[1][0]))


def report(sizes: Sequence[Size]) -> str:
    """Write down what was measured."""
    return "\n".join(str(each) for each in (_time(sizes), _cpu(sizes), _work(sizes), _steps(sizes)))


def _time(sizes: Sequence[Size]) -> Table:
    table = Table(
        "From POST /v2/clusters to Active",
        ("hosts", "nodes", "s", "floor s", "to floor", "Sahara s", "Sahara is", "tasks/s",
         "delete s"),
        notes=(
            "floor: the same hosts made and told three scripts each, without Savanna",
            "Sahara: version 19.0.0 with its fake plugin, boot not counted",
        ),
    )  # fmt: skip
    for size in sizes:
        launch, sahara = size.typical, SAHARA_SECONDS.get(size.nodes)
        below = size.floor.seconds if size.floor else None
        table.add(
            size.cloud,
            size.nodes,
            launch.seconds,
            below,
            times(launch.seconds, below) if below else None,
            sahara,
            times(sahara, launch.seconds) if sahara else None,
            launch.tasks / launch.seconds,
            statistics.median(each.delete_seconds for each in size.launches),
        )
    return table


def _cpu(sizes: Sequence[Size]) -> Table:
    names = list(dict.fromkeys(name for size in sizes for name in size.typical.cpu))
    table = Table(
        "CPU seconds of a launch",
        ("hosts", "nodes", *names, "sum", "sum/node", "floor", "Sahara/node"),
        notes=("floor: of the process that makes the hosts and speaks SSH, hosts not counted",),
    )
    for size in sizes:
        launch = size.typical
        below = size.floor.making_cpu + size.floor.ssh_cpu if size.floor else None
        shown = [launch.cpu.get(name) for name in names]
        whole = launch.cpu_seconds
        table.add(size.cloud, size.nodes, *shown, whole, whole / size.nodes, below, SAHARA_CPU)
    return table


def _work(sizes: Sequence[Size]) -> Table:
    table = Table(
        "Work for a node",
        ("hosts", "nodes", "log-ins", "Sahara", "commands", "tasks"),
        notes=(
            "log-ins are counted by the hosts' SSH servers, commands by what the hosts ran",
            f"there are {meshes.ENGINES} engines: each logs in once to each host it works on",
        ),
    )
    for size in sizes:
        launch, nodes = size.typical, size.nodes
        log_ins = None if launch.log_ins is None else launch.log_ins / nodes
        table.add(
            size.cloud, nodes, log_ins, SAHARA_LOG_INS, launch.commands / nodes,
            launch.tasks / nodes,
        )  # fmt: skip
    return table


def _steps(sizes: Sequence[Size]) -> Table:
    names = list(dict.fromkeys(name for size in sizes for name in size.typical.spans))
    table = Table(
        "When: first begun - last ended, in seconds after the request", ("hosts", "nodes", *names)
    )
    for size in sizes:
        spans = size.typical.spans
        shown = [f"{spans[n][0]:.2f} - {spans[n][1]:.2f}" if n in spans else None for n in names]
        table.add(size.cloud, size.nodes, *shown)
    return table


def main() -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(prog="make bench-launch", description=__doc__)
    parser.add_argument("--local", type=int, nargs="*", default=LOCAL, metavar="NODES")
    parser.add_argument("--simulated", type=int, nargs="*", default=SIMULATED, metavar="NODES")
    parser.add_argument(
        "--fleet", type=int, nargs=2, default=FLEET, metavar=("CLUSTERS", "NODES"),
        help="simulated clusters asked for at once, and the nodes of each; 0 0 for none",
    )  # fmt: skip
    parser.add_argument("--repeat", type=int, default=1, help="launches of each size; the median")
    parser.add_argument("--database", choices=meshes.DATABASES, default="sqlite")
    given = parser.parse_args()
    meshes.end_in_order()
    print(f"{meshes.machine()}, {given.database}, repeat {given.repeat}\n", flush=True)
    sizes = []
    for cloud, wanted in (("local", given.local), ("simulated", given.simulated)):
        if wanted:
            sizes += asyncio.run(
                measure(cloud, wanted, repeat=given.repeat, database=given.database)
            )
    print(report(sizes))
    clusters, nodes = given.fleet
    if clusters:
        found = asyncio.run(fleet.measure(clusters, nodes, database=given.database))
        print(fleet.report([found]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
