"""A bad line to the conductor: commits arrive, but some of their answers are lost or late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.conductor.v1 import execution_service_pb2_grpc as stubs
from savanna_kit import errors, serving
from savanna_kit.channels import connect

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[object, object]


class BadLine(stubs.ExecutionServiceServicer):
    """Passes everything on; what happens to commits is the test's choice."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: stubs.ExecutionServiceAsyncStub = stubs.ExecutionServiceStub(channel)
        self.loses_every = 0
        self.breaks_after = 0
        """The number of a commit whose answer turns into a fault on its way."""

        self.chokes_on = b""
        """A commit with these bytes in it is a fault, as if the conductor could not store it."""

        self.choked = 0
        self.delay = 0.0
        self.lost = 0
        self._commits = 0

    async def Commit(
        self, request: execution.CommitRequest, context: Context
    ) -> execution.CommitResponse:
        if self.chokes_on and self.chokes_on in request.SerializeToString():
            self.choked += 1
            raise errors.Internal("an unexpected fault; look for 4711 in the log of the service")
        answer = await self._stub.Commit(request)
        if request.changes and request.number == self.breaks_after:
            self.lost += 1
            raise errors.Internal("the answer could not be written")
        await asyncio.sleep(self.delay)
        self._commits += 1
        if self.loses_every and self._commits % self.loses_every == 0:
            self.lost += 1
            raise errors.Unavailable("the answer was lost")
        return answer

    async def Claim(
        self, request: execution.ClaimRequest, context: Context
    ) -> execution.ClaimResponse:
        return await self._stub.Claim(request)

    async def RenewScheduler(
        self, request: execution.RenewSchedulerRequest, context: Context
    ) -> execution.RenewSchedulerResponse:
        return await self._stub.RenewScheduler(request)

    async def ReleaseScheduler(
        self, request: execution.ReleaseSchedulerRequest, context: Context
    ) -> execution.ReleaseSchedulerResponse:
        return await self._stub.ReleaseScheduler(request)

    async def ListSchedulers(
        self, request: execution.ListSchedulersRequest, context: Context
    ) -> execution.ListSchedulersResponse:
        return await self._stub.ListSchedulers(request)

    async def RenewSessions(
        self, request: execution.RenewSessionsRequest, context: Context
    ) -> execution.RenewSessionsResponse:
        return await self._stub.RenewSessions(request)


def build(listen: str, conductor: str) -> tuple[serving.Parts, BadLine]:
    """Build the line as a service of its own."""
    channel = connect(conductor)
    line = BadLine(channel)
    served = serving.Served(
        "savanna.conductor.v1.ExecutionService",
        stubs.add_ExecutionServiceServicer_to_server,
        line,
    )
    return serving.Parts(
        name="line", listen=listen, served=[served], resources=[channel], drain_seconds=0.2
    ), line
