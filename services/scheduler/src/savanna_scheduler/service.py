"""The scheduler's front: engines connect here, and incarnations follow one another behind it."""

from __future__ import annotations

import asyncio
import time
import uuid
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit import errors, logs
from savanna_kit.retry import Backoff
from savanna_scheduler import metrics
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
_LONG_LIFE = 30.0
_REST = Backoff(initial=0.05, cap=5.0)
"""Between lives that end soon, so that a lasting fault does not make the scheduler spin."""


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
        self._chance = Random()
        self._stale_before = 0

    async def run(self) -> None:
        """Live one life after the other until the service ends."""
        short = 0
        while not self._ending:
            begin = time.monotonic()
            await self._live()
            short = 0 if time.monotonic() - begin > _LONG_LIFE else short + 1
            if not self._ending:
                await asyncio.sleep(_REST.delay(short or 1, self._chance.random()))

    async def _live(self) -> None:
        self._stale_before = self.stale_results
        incarnation = self._incarnation = Incarnation(
            str(uuid.uuid4()),
            self._conductor,
            given=self._given,
            policy=Policy(),
            chance=self._chance,
        )
        metrics.LIVES.add()
        log.info("scheduler_started", scheduler_id=incarnation.id)
        try:
            await incarnation.live(self._address())
        except IncarnationOver as over:
            if not self._ending:
                log.warning("scheduler_over", scheduler_id=incarnation.id, reason=str(over))
                await incarnation.release()

    @property
    def living(self) -> Incarnation | None:
        """Give the incarnation that lives, or lived last; None before the first."""
        return self._incarnation

    @property
    def stale_results(self) -> int:
        """Count the results that were dropped in all lives."""
        lives = self._incarnation
        return self._stale_before + (lives.core.stale_results if lives is not None else 0)

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
        hello = await _read_hello(request_iterator)
        incarnation = self._incarnation
        if incarnation is None or self._ending:
            raise errors.Unavailable("this scheduler is not ready: connect to another")
        outbox = await incarnation.engines.open(hello)
        session = execution.Session(session_id=hello.session_id, engine_id=hello.engine_id)
        inbox = asyncio.create_task(_listen(request_iterator, incarnation, session, outbox))
        try:
            while (message := await outbox.get()) is not None:
                yield message
            if self._ending:
                yield stream.ConnectResponse(drain=stream.Drain())
        finally:
            incarnation.engines.close(hello.session_id, outbox)
            inbox.cancel()
            await asyncio.gather(inbox, return_exceptions=True)


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
        incarnation.engines.beat(session, request.beat.number)
    elif kind == "credit":
        incarnation.feed(events.Credit(session_id, dict(request.credit.slots)))
    elif kind == "accepted":
        incarnation.engines.offers.heard(session_id, request.accepted.attempts)
    elif kind == "done":
        offers = (each.attempt for each in request.done.results)
        incarnation.engines.offers.heard(session_id, offers)
        incarnation.feed(events.Done(session_id, list(request.done.results)))
    elif kind == "refused":
        refused = request.refused
        attempt = refused.attempt
        incarnation.engines.offers.heard(session_id, [attempt])
        incarnation.feed(events.Refused(session_id, attempt.task_id, attempt.epoch, refused.reason))
    elif kind == "goodbye":
        incarnation.feed(events.Leaving(session_id))
