"""Meshes for tests: real processes, real sockets, the simulated cloud, both databases."""

from __future__ import annotations

import secrets
import socket
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.simulator.v1 import simulator_service_pb2_grpc
from savanna.simulator.v1.simulator_service_pb2 import ListServersRequest
from savanna_all_in_one.mesh import Mesh, MeshPlan
from savanna_client import Client
from savanna_kit.channels import connect
from tests.e2e.user import User

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

QUICK = {
    "CONDUCTOR": {"ENGINE_LEASE_SECONDS": "2", "SCHEDULER_LEASE_SECONDS": "2"},
    "ENGINE": {
        "DRAIN_SECONDS": "5",
        "BOOT_PATIENCE_SECONDS": "3",
        "ORPHAN_GRACE_SECONDS": "0",
    },
}
"""Leases, patience and grace so short that a test need not wait long for their ends."""

QUICK_WITH_HOSTS = {**QUICK, "ENGINE": {**QUICK["ENGINE"], "BOOT_PATIENCE_SECONDS": "60"}}
"""The same for real hosts: on a busy machine one may need longer than three seconds."""


@contextmanager
def simulated_mesh(
    folder: Path,
    database_url: str,
    settings: Mapping[str, Mapping[str, str]] = QUICK,
    *,
    engines: int = 2,
) -> Iterator[Mesh]:
    """Run a mesh with the fake plugin on the simulated cloud."""
    with tempfile.TemporaryDirectory(prefix="savanna-") as sockets:
        plan = MeshPlan(
            folder=folder,
            sockets=Path(sockets),
            database_url=database_url,
            rest=f"127.0.0.1:{free_port()}",
            grpc=f"unix:{sockets}/api",
            cloud="simulated",
            plugins=("fake",),
            engines=engines,
            settings=settings,
        )
        with Mesh(plan) as mesh:
            yield mesh


@asynccontextmanager
async def user_of(mesh: Mesh) -> AsyncIterator[User]:
    """Give a user who talks to the mesh's gateway."""
    async with Client(mesh.plan.grpc) as client:
        yield User(client)


@asynccontextmanager
async def simulator_of(
    mesh: Mesh,
) -> AsyncIterator[simulator_service_pb2_grpc.SimulatorControlServiceAsyncStub]:
    """Give the control of the mesh's simulated cloud."""
    async with connect(mesh.plan.address("simulator")) as channel:
        yield simulator_service_pb2_grpc.SimulatorControlServiceStub(channel)


async def servers_of(mesh: Mesh, cluster_id: str) -> list[str]:
    """List the names of what the simulated cloud holds of a cluster."""
    async with connect(mesh.plan.address("simulator")) as channel:
        stub = simulator_service_pb2_grpc.SimulatedCloudServiceStub(channel)
        request = ListServersRequest(metadata={"savanna_cluster": cluster_id})
        return [each.name for each in (await stub.ListServers(request)).servers]


_PORTS = range(10_000, 32_000)
"""Of these the kernel gives none to who calls somebody: a service that is started at one of them
later, or again, finds it free."""


def free_port() -> int:
    """Find a port that nobody listens at."""
    while True:
        port = secrets.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
