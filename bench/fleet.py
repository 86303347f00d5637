"""Many clusters asked for at once: whoever waits longest shall not wait much longer than the
first."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import meshes
from bench.clusters import Launcher
from bench.tables import Table, times
from bench.web import line_to
from savanna_client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Fleet:
    """Launches that were asked for at once, and when each was done."""

    clusters: int
    nodes: int
    seconds: list[float]
    """From its own request until each was Active, sorted."""

    cpu: dict[str, float]


async def measure(clusters: int, nodes: int, *, database: str = "sqlite") -> Fleet:
    """Launch so many simulated clusters of so many nodes at once."""
    with meshes.running("simulated", database) as bench:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(bench.mesh.plan.grpc))
            launchers = [
                Launcher(client, await stack.enter_async_context(line_to(bench.mesh.plan.rest)))
                for _ in range(clusters)
            ]
            # The first of all opens connections and loads code.
            await launchers[0].launch("warm", 1)
            before = bench.cpu()
            ended = await asyncio.gather(
                *(each.launch(f"fleet-{n}", nodes) for n, each in enumerate(launchers))
            )
            after = bench.cpu()
    seconds = sorted(each.seconds for _, each in ended)
    cpu = {name: after[name] - before[name] for name in after}
    return Fleet(clusters, nodes, seconds, cpu)


def report(found: Sequence[Fleet]) -> str:
    """Write down what was measured."""
    table = Table(
        "Clusters asked for at once, from each request to Active (simulated hosts)",
        ("clusters", "nodes each", "first s", "median s", "last s", "last is", "nodes/s",
         "CPU s/cluster"),
        notes=("aim: last at most 2x first",),
    )  # fmt: skip
    for fleet in found:
        first, last = fleet.seconds[0], fleet.seconds[-1]
        table.add(
            str(fleet.clusters), fleet.nodes, first, fleet.seconds[len(fleet.seconds) // 2], last,
            times(last, first), fleet.clusters * fleet.nodes / last,
            sum(fleet.cpu.values()) / fleet.clusters,
        )  # fmt: skip
    return str(table)
