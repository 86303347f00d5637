"""A real conductor over a real database, reached through its front door."""

from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    execution_service_pb2_grpc,
    facts_service_pb2_grpc,
    mesh_service_pb2_grpc,
)
from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_conductor.main import build
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_kit import serving
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

PROJECT = "p1"


class Conductor:
    """The stubs of one conductor, and the few calls that most tests begin with."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.clusters = cluster_service_pb2_grpc.ClusterServiceStub(channel)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        self.jobs = cluster_service_pb2_grpc.JobServiceStub(channel)
        self.operations = cluster_service_pb2_grpc.OperationServiceStub(channel)
        self.execution = execution_service_pb2_grpc.ExecutionServiceStub(channel)
        self.facts = facts_service_pb2_grpc.FactsServiceStub(channel)
        self.mesh = mesh_service_pb2_grpc.MeshServiceStub(channel)

    async def create(
        self, name: str = "c1", request_id: str = ""
    ) -> clusters_pb2.CreateClusterResponse:
        cluster = cluster_pb2.Cluster(
            name=name,
            plugin_name="fake",
            plugin_version="0.1",
            node_groups=[cluster_pb2.NodeGroup(name="worker", count=2)],
        )
        return await self.clusters.CreateCluster(
            clusters_pb2.CreateClusterRequest(
                project_id=PROJECT, cluster=cluster, request_id=request_id
            )
        )

    async def read(self, cluster_id: str) -> cluster_pb2.Cluster:
        name = clusters_pb2.OwnedName(project_id=PROJECT, id=cluster_id)
        answer = await self.clusters.GetClusters(clusters_pb2.GetClustersRequest(names=[name]))
        return answer.clusters[0]

    async def item(
        self, item: catalog_pb2.Item, *, project_id: str = PROJECT, request_id: str = ""
    ) -> catalog_pb2.Item:
        request = catalog_pb2.CreateItemRequest(
            project_id=project_id, item=item, request_id=request_id
        )
        return (await self.catalog.CreateItem(request)).item

    async def session(self, engine_id: str = "engine-1") -> str:
        session_id = str(uuid.uuid4())
        await self.execution.RenewSessions(
            execution.RenewSessionsRequest(
                sessions=[execution.Session(session_id=session_id, engine_id=engine_id)]
            )
        )
        return session_id


@dataclass
class Owner:
    """A scheduler incarnation as the conductor sees it: it numbers its commits."""

    conductor: Conductor
    scheduler_id: str
    number: int = 0

    async def claim(
        self, *, max_operations: int = 0, max_bytes: int = 0, wait_seconds: int = 0
    ) -> execution.ClaimResponse:
        request = execution.ClaimRequest(
            scheduler_id=self.scheduler_id, max_operations=max_operations, max_bytes=max_bytes
        )
        request.wait.FromSeconds(wait_seconds)
        return await self.conductor.execution.Claim(request)

    async def commit(self, *changes: execution.Change) -> list[execution.Verdict]:
        self.number += 1
        return await self.commit_again(*changes)

    async def commit_again(self, *changes: execution.Change) -> list[execution.Verdict]:
        answer = await self.conductor.execution.Commit(
            execution.CommitRequest(
                scheduler_id=self.scheduler_id, number=self.number, changes=changes
            )
        )
        return list(answer.verdicts)


async def new_owner(conductor: Conductor) -> Owner:
    scheduler_id = str(uuid.uuid4())
    await conductor.execution.RenewScheduler(
        execution.RenewSchedulerRequest(scheduler_id=scheduler_id, address="unix:/none")
    )
    return Owner(conductor, scheduler_id)


@asynccontextmanager
async def running(settings: ConductorSettings) -> AsyncIterator[Conductor]:
    """Run a conductor."""
    parts = build(settings)
    async with serving.running([parts]), connect(parts.addresses[0]) as channel:
        yield Conductor(channel)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> ConductorSettings:
    """Leases that no test outlasts; ``hasty_conductor`` is for those that see them end."""
    engine = dialect.open_engine(database_url, readers=1)
    migrate(engine)
    engine.dispose()
    return ConductorSettings(
        listen=f"unix:{tmp_path}/conductor.sock",
        database_url=database_url,
        key_file=tmp_path / "savanna.key",
        scheduler_lease_seconds=60,
        engine_lease_seconds=60,
        look_seconds=0.05,
        job_binary_limit=2**20,
        drain_seconds=0.5,
    )


@pytest.fixture
async def conductor(settings: ConductorSettings) -> AsyncIterator[Conductor]:
    """Run a conductor."""
    async with running(settings) as it:
        yield it


@pytest.fixture
async def hasty_conductor(settings: ConductorSettings) -> AsyncIterator[Conductor]:
    """Run a conductor with short leases."""
    short = {"scheduler_lease_seconds": 0.5, "engine_lease_seconds": 0.5}
    async with running(settings.model_copy(update=short)) as it:
        yield it


@pytest.fixture
async def other_conductor(settings: ConductorSettings, tmp_path: Path) -> AsyncIterator[Conductor]:
    """Run a second conductor on the same database."""
    listen = f"unix:{tmp_path}/other.sock"
    async with running(settings.model_copy(update={"listen": listen})) as it:
        yield it
