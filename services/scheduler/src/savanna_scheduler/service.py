"""The scheduler's front: engines connect here, and incarnations follow one another behind it."""

from __future__ import annotations

import asyncio
import uuid
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit import errors, logs
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from savanna_scheduler.incarnation import Incarnation, IncarnationOver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc

    from savanna.conductor.v1 import execution_service_pb2_grpc
    from savanna_scheduler.settings import SchedulerSettings

    Context = grpc.aio.ServicerContext[stream.ConnectRequest, stream.ConnectResponse]
    Outbox = asyncio.Queue[stream.ConnectResponse | None]

log = logs.get_logger(__name__)
_PROTOCOL = 1
_HELLO_SECONDS = 10.0


class SchedulerService(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """Holds the conversation with engines for whichever incarnation lives."""

    def __init__(
        self,
        conductor: execution_service_pb2_grpc.ExecutionServiceAsyncStub,
        given: SchedulerSettings,
        address: Callable[[], str],
    ) -> None:
        self._conductor = conductor
        self._given = given
        self._address = address
        self._incarnation: Incarnation | None = None
        self._ending = False

    async def run(self) -> None:
        """Live one life after the other until the service ends."""
        while not self._ending:
            scheduler_id = str(uuid.uuid4())
            self._incarnation = Incarnation(
                scheduler_id, self._conductor, given=self._given, policy=Policy(), chance=Random()
            )
            log.info("scheduler_started", scheduler_id=scheduler_id)
            try:
                await self._incarnation.live(self._address())
            except IncarnationOver as over:
                if not self._ending:
                    log.warning("scheduler_over", scheduler_id=scheduler_id, reason=str(over))
                    await self._incarnation.release()
        # The lifecycle ends this loop; returning earlier is no failure.
        await asyncio.Event().wait()

    async def drain(self) -> None:
        """Hand over before the process ends."""
        self._ending = True
        if self._incarnation is not None:
            await self._incarnation.hand_over()

    async def Connect(
        self, request_iterator: AsyncIterator[stream.ConnectRequest], context: Context
    ) -> AsyncIterator[stream.ConnectResponse]:
        """Talk to one engine until either side ends it."""
        del context
        incarnation = self._incarnation
        if incarnation is None or self._ending:
            raise errors.Unavailable("this scheduler is not ready: connect to another")
        hello = await _read_hello(request_iterator)
        outbox = await incarnation.open_stream(hello)
        session = execution.Session(session_id=hello.session_id, engine_id=hello.engine_id)
        inbox = asyncio.create_task(_listen(request_iterator, incarnation, session, outbox))
        try:
            while (message := await outbox.get()) is not None:
                yield message
            if self._ending:
                yield stream.ConnectResponse(drain=stream.Drain())
        finally:
            inbox.cancel()
            incarnation.close_stream(hello.session_id, outbox)


async def _read_hello(requests: AsyncIterator[stream.ConnectRequest]) -> stream.Hello:
    async with asyncio.timeout(_HELLO_SECONDS):
        first = await anext(aiter(requests), None)
    if first is None or first.WhichOneof("message") != "hello":
        raise errors.InvalidArgument("the first message must be 'hello'")
    if first.hello.protocol != _PROTOCOL:
        raise errors.FailedPrecondition(
            f"this scheduler speaks protocol {_PROTOCOL}, the engine {first.hello.protocol}: "
            "run the same version of Savanna on both sides"
        )
    return first.hello


async def _listen(
    requests: AsyncIterator[stream.ConnectRequest],
    incarnation: Incarnation,
    session: execution.Session,
    outbox: Outbox,
) -> None:
    """Tell the incarnation what the engine says; its silence ends the stream."""
    try:
        async for request in requests:
            _take(request, incarnation, session)
    finally:
        outbox.put_nowait(None)


def _take(
    request: stream.ConnectRequest, incarnation: Incarnation, session: execution.Session
) -> None:
    session_id = session.session_id
    kind = request.WhichOneof("message")
    if kind == "beat":
        incarnation.beat(session, request.beat.number)
    elif kind == "credit":
        incarnation.feed(events.Credit(session_id, dict(request.credit.slots)))
    elif kind == "done":
        incarnation.feed(events.Done(session_id, list(request.done.results)))
    elif kind == "refused":
        attempt = request.refused.attempt
        incarnation.feed(events.Refused(session_id, attempt.task_id, attempt.epoch))
    elif kind == "goodbye":
        incarnation.feed(events.Leaving(session_id))
