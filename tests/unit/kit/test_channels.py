"""Channels to a name with several addresses."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from savanna_kit.channels import RetryPolicy, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ALWAYS = RetryPolicy(methods=("grpc.health.v1.Health",))


class Counted(health_pb2_grpc.HealthServicer):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.server = grpc.aio.server()
        health_pb2_grpc.add_HealthServicer_to_server(self, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    async def Check(
        self, request: health_pb2.HealthCheckRequest, context: object
    ) -> health_pb2.HealthCheckResponse:
        self.asked += 1
        return health_pb2.HealthCheckResponse()


@pytest.fixture
async def servers() -> AsyncIterator[list[Counted]]:
    made = [Counted(), Counted()]
    async with AsyncExitStack() as stack:
        for each in made:
            await each.server.start()
            stack.push_async_callback(each.server.stop, 0)
        yield made


@pytest.mark.parametrize("retries", [None, ALWAYS], ids=["once", "again"])
async def test_calls_go_to_all_addresses_of_a_name_in_turn_and_to_those_that_are_left(
    servers: list[Counted], retries: RetryPolicy | None
) -> None:
    first, second = servers
    address = f"ipv4:{first.address},{second.address}"
    async with connect(address, retries=retries) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while not (first.asked and second.asked):
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        first.asked = second.asked = 0
        for _ in range(10):
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert (first.asked, second.asked) == (5, 5)

        await first.server.stop(1)
        for _ in range(10):
            await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert (first.asked, second.asked) == (5, 15)
