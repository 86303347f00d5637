"""The gateway as its users meet it: real listeners, real calls."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.api.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    job_service_pb2_grpc,
    mesh_service_pb2_grpc,
    orphan_service_pb2_grpc,
)
from savanna_api_gateway.main import build
from savanna_api_gateway.settings import ApiSettings
from savanna_kit import serving
from savanna_kit.channels import connect
from savanna_kit.settings import load
from tests.unit.api_gateway import neighbours
from tests.unit.api_gateway.memory import Memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc


@dataclass
class Front:
    """What users have of the gateway, and what tests know behind it."""

    channel: grpc.aio.Channel
    memory: Memory
    plugin: neighbours.Plugin
    cloud: neighbours.CloudService
    rest: httpx.AsyncClient
    """At the root of REST; sends no token."""

    def __post_init__(self) -> None:
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(self.channel)
        self.clusters = cluster_service_pb2_grpc.ClusterServiceStub(self.channel)
        self.operations = cluster_service_pb2_grpc.OperationServiceStub(self.channel)
        self.jobs = job_service_pb2_grpc.JobServiceStub(self.channel)
        self.orphans = orphan_service_pb2_grpc.OrphanServiceStub(self.channel)
        self.mesh = mesh_service_pb2_grpc.MeshServiceStub(self.channel)


@asynccontextmanager
async def opened(
    where: Path, *, auth: str = "none", with_plugin: bool = True, **more: object
) -> AsyncIterator[Front]:
    """Run the gateway with all its neighbours."""
    remembered, plugin, cloud = Memory(), neighbours.Plugin(), neighbours.CloudService()
    settings = load(
        ApiSettings,
        listen=f"unix:{where}/api.sock",
        rest_listen="127.0.0.1:0",
        auth=auth,
        conductor=f"unix:{where}/conductor.sock",
        engines=[f"unix:{where}/engine.sock"],
        plugins=[f"unix:{where}/plugin.sock"],
        drain_seconds=0.2,
        **more,
    )
    gateway = build(settings)
    services = [
        neighbours.conductor(where, remembered),
        *([neighbours.plugin(where, plugin)] if with_plugin else []),
        neighbours.engine(where, cloud),
        gateway,
    ]
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving.running(services))
        channel = await stack.enter_async_context(connect(gateway.addresses[0]))
        client = httpx.AsyncClient(base_url=f"http://{gateway.rest_address}", timeout=30)
        await stack.enter_async_context(client)
        yield Front(channel, remembered, plugin, cloud, client)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    """A gateway that lets everyone in."""

    async with opened(tmp_path) as it:
        yield it
