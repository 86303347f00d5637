"""``make bench-api``: what a request costs, on an idle Savanna and while a cluster is launched."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import envoy, load, meshes
from bench.clusters import Launcher
from bench.load import Kind, Proxy
from bench.tables import Table, times
from bench.web import line_to, request
from savanna_client import Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from bench.load import Served
    from bench.meshes import Bench

CLUSTERS = 100
LAUNCHED_NODES = 100
CONNECTIONS = (1, 8, 32)
BUSY_CONNECTIONS = (8,)
ENVOY_CONNECTIONS = (1, 8)
ENVOY = "idle, Envoy"
SECONDS = 2.0


@dataclass(frozen=True)
class Row:
    """Load of one kind, with what went on meanwhile."""

    meanwhile: str
    kind: Kind
    connections: int
    served: Served


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    clusters: int = CLUSTERS
    nodes: int = LAUNCHED_NODES
    idle: Sequence[int] = CONNECTIONS
    busy: Sequence[int] = BUSY_CONNECTIONS
    envoy: Sequence[int] = ENVOY_CONNECTIONS
    seconds: float = SECONDS
    database: str = "sqlite"


async def measure(plan: Plan) -> list[Row]:
    """Put load of each kind on an idle mesh, also by Envoy, then on one that launches and deletes
    clusters."""
    rows = []
    with meshes.running("simulated", plan.database) as bench:
        async with Client(bench.mesh.plan.grpc) as client, line_to(bench.mesh.plan.rest) as line:
            launcher = Launcher(client, line)
            ids = await asyncio.gather(
                *(launcher.launch(f"kept-{number}", 1) for number in range(plan.clusters))
            )
            kinds = _kinds(ids[0][0], plan.clusters)
            for kind, connections in itertools.product(kinds, plan.idle):
                served = await load.run(bench, kind, connections, plan.seconds)
                rows.append(Row("idle", kind, connections, served))
            with _by_envoy(bench) as proxy:
                for kind, connections in itertools.product(kinds, plan.envoy):
                    served = await load.run(bench, kind, connections, plan.seconds, proxy)
                    rows.append(Row(ENVOY, kind, connections, served))
            async with _launching(launcher, plan.nodes):
                for kind, connections in itertools.product(kinds, plan.busy):
                    served = await load.run(bench, kind, connections, plan.seconds)
                    rows.append(Row("launch", kind, connections, served))
    return rows


@contextlib.contextmanager
def _by_envoy(bench: Bench) -> Iterator[Proxy]:
    """Run Envoy before the gateway, on loopback without TLS."""
    folder = bench.mesh.plan.folder / "envoy"
    folder.mkdir()
    address = f"127.0.0.1:{meshes.free_port()}"
    services = {"rest": {"listen": address, "at": [bench.mesh.plan.rest]}}
    description = {"services": services, "access_log": str(folder / "access.log")}
    with envoy.running(folder, description) as running:
        yield Proxy(address, running)


def _kinds(cluster_id: str, clusters: int) -> list[Kind]:
    versions = request("GET", "/")
    one = request("GET", f"/v2/clusters/{cluster_id}")
    page = request("GET", "/v2/clusters")
    numbers = itertools.count()

    def template() -> bytes:
        body = {
            "name": f"template-{next(numbers)}",
            "description": "Workers of the benchmark",
            "plugin_name": "fake",
            "plugin_version": "0.1",
            "flavor_id": "1",
            "node_processes": ["datanode", "tasktracker"],
        }
        return request("POST", "/v2/node-group-templates", body)

    return [
        Kind("GET versions", lambda: versions, status=300),
        Kind("GET cluster", lambda: one, sahara="3 - 4"),
        Kind(f"GET list of {clusters}", lambda: page, sahara="17 - 24"),
        Kind("POST template", template, status=202, sahara="14 - 23"),
    ]


@contextlib.asynccontextmanager
async def _launching(launcher: Launcher, nodes: int) -> AsyncIterator[None]:
    """Launch and delete clusters, one after the other, until the block ends."""
    ending = asyncio.Event()

    async def on_and_on() -> None:
        for number in itertools.count():
            if ending.is_set():
                return
            cluster_id, _ = await launcher.launch(f"passing-{number}", nodes)
            await launcher.delete(cluster_id)

    task = asyncio.create_task(on_and_on())
    try:
        yield
    finally:
        ending.set()
        await task


def report(rows: Sequence[Row]) -> str:
    """Write down what was measured."""
    return f"{_requests(rows)}\n{_mesh(rows)}"


def _mesh(rows: Sequence[Row]) -> Table:
    """Tell what Envoy adds: the same requests, by it and not by it."""
    table = Table(
        "What Envoy adds to a request",
        ("request", "open", "p50 ms", "by Envoy", "adds ms", "CPU ms", "by Envoy", "adds ms",
         "Envoy's own"),
        notes=("CPU: of gateway, conductor and Envoy, a request",),
    )  # fmt: skip
    direct = {
        (each.kind.title, each.connections): each.served
        for each in rows
        if each.meanwhile == "idle"
    }
    for row in rows:
        plain = direct.get((row.kind.title, row.connections))
        if row.meanwhile != ENVOY or plain is None:
            continue
        own = row.served.per_request(row.served.cpu["envoy"])
        wait, before = row.served.quantile(0.5), plain.quantile(0.5)
        cpu = _both(row.served) + own
        table.add(
            row.kind.title, row.connections, before, wait, wait - before,
            _both(plain), cpu, cpu - _both(plain), own,
        )  # fmt: skip
    return table


def _requests(rows: Sequence[Row]) -> Table:
    extra = [
        name
        for name in ("database", "envoy")
        if any(name in each.served.cpu for each in rows)
    ]  # fmt: skip
    table = Table(
        "Requests over connections that stay open; CPU in ms a request",
        ("meanwhile", "request", "open", "req/s", "p50 ms", "p99 ms", "gateway", "conductor",
         *extra, "both", "to versions", "Sahara", "client"),
        notes=(
            "open: connections, one request at a time on each; both: gateway and conductor",
            "meanwhile launch: clusters are launched and deleted, one after the other; what that",
            "  costs the gateway and the conductor is counted in",
            "Sahara: CPU ms a request of version 19.0.0; client: CPU ms of the benchmark itself",
        ),
    )  # fmt: skip
    versions = {
        (each.meanwhile, each.connections): _both(each.served)
        for each in rows
        if each.kind.title == "GET versions"
    }
    for row in rows:
        served = row.served
        table.add(
            row.meanwhile,
            row.kind.title,
            row.connections,
            served.rate,
            served.quantile(0.5),
            served.quantile(0.99),
            served.per_request(served.cpu["api"]),
            served.per_request(served.cpu["conductor"]),
            *(served.per_request(served.cpu.get(name, 0.0)) for name in extra),
            _both(served),
            times(_both(served), versions[row.meanwhile, row.connections]),
            row.kind.sahara,
            served.per_request(served.client_cpu),
        )
    return table


def _both(served: Served) -> float:
    return served.per_request(served.cpu["api"] + served.cpu["conductor"])


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="make bench-api", description=__doc__)
    parser.add_argument("--clusters", type=int, default=CLUSTERS, help="clusters in the list")
    parser.add_argument(
        "--nodes", type=int, default=LAUNCHED_NODES, help="nodes launched meanwhile"
    )
    parser.add_argument("--idle", type=int, nargs="*", default=CONNECTIONS, metavar="OPEN")
    parser.add_argument("--busy", type=int, nargs="*", default=BUSY_CONNECTIONS, metavar="OPEN")
    parser.add_argument("--envoy", type=int, nargs="*", default=ENVOY_CONNECTIONS, metavar="OPEN")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each row")
    parser.add_argument("--database", choices=meshes.DATABASES, default="sqlite")
    given = parser.parse_args()
    meshes.end_in_order()
    print(f"{meshes.machine()}, {given.database}\n", flush=True)
    print(report(asyncio.run(measure(Plan(**vars(given))))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
