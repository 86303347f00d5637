"""The scheduler's composition root."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2_grpc
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit import serving
from savanna_kit.channels import connect, peer
from savanna_scheduler.readings import readings
from savanna_scheduler.service import SchedulerService
from savanna_scheduler.settings import SchedulerSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc


def build(given: SchedulerSettings) -> serving.Parts:
    """Build the service; nothing is started, nothing is reached."""
    identity = given.identity()
    parts = serving.Parts(
        name="scheduler",
        listen=given.listen,
        identity=identity,
        drain_seconds=given.drain_seconds,
    )
    channel = connect(given.conductor, peer=peer(identity, "conductor"))
    stub = execution_service_pb2_grpc.ExecutionServiceStub(channel)
    service = SchedulerService(stub, given, lambda: given.advertise or parts.addresses[0])
    parts.resources.extend([_closing(channel), readings(service)])
    parts.loops.append(service.run)
    parts.drains.append(service.drain)
    parts.served.append(
        serving.Served(
            "savanna.scheduler.v1.SchedulerService",
            scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server,
            service,
            callers=frozenset({"engine"}),
        )
    )
    return parts


@asynccontextmanager
async def _closing(channel: grpc.aio.Channel) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await channel.close()


def main() -> None:
    """Run ``savanna-scheduler``."""
    serving.main(SchedulerSettings, build)
