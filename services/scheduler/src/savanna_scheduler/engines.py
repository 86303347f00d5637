"""The streams of connected engines, and their beats: renewed together, acknowledged once that is
stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import errors, logs, telemetry
from savanna_scheduler.core import events
from savanna_scheduler.offers import Offers

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna.conductor.v1 import execution_service_pb2_grpc

    Outbox = asyncio.Queue[stream.ConnectResponse | None]

log = logs.get_logger(__name__)
_RENEW_SECONDS = 5.0
_ACK_SECONDS = 0.02
"""How long an acknowledgement may wait for others; results are sent again only after a second."""


class Engines:
    """Everything that one incarnation says to engines; ``None`` in an outbox ends a stream."""

    def __init__(
        self,
        conductor: execution_service_pb2_grpc.ExecutionServiceAsyncStub,
        feed: Callable[[events.Event], None],
    ) -> None:
        self.offers = Offers()
        self._conductor = conductor
        self._feed = feed
        self._outboxes: dict[str, Outbox] = {}
        self._beats: dict[str, tuple[execution.Session, int]] = {}
        self._acks: dict[str, list[stream.AttemptRef]] = defaultdict(list)
        self._beaten = asyncio.Event()
        self._closed = False

    async def open(self, hello: stream.Hello) -> Outbox:
        """Admit an engine.

        Raises ``FailedPrecondition`` when its session is over, ``Unavailable`` when this
        incarnation is.
        """
        session = execution.Session(
            session_id=hello.session_id, engine_id=hello.engine_id, capacity=hello.capacity
        )
        ended, lease = await self._renew([session])
        if hello.session_id in ended:
            raise errors.FailedPrecondition(
                "the session is over: stop what it runs and start a new one", reason="SESSION_OVER"
            )
        if self._closed:
            raise errors.Unavailable("this scheduler begins anew: connect again")
        self._end(hello.session_id)
        outbox: Outbox = asyncio.Queue()
        self._outboxes[hello.session_id] = outbox
        running = {each.task_id: each.epoch for each in hello.running}
        slots = dict(hello.credit.slots)
        self._feed(events.Hello(hello.session_id, slots, running, lease, hello.engine_id))
        return outbox

    def close(self, session_id: str, outbox: Outbox) -> None:
        """Note that a stream has ended, unless another has taken its place."""
        if self._outboxes.get(session_id) is outbox:
            del self._outboxes[session_id]
            self.offers.forget(session_id)
            self._feed(events.Disconnected(session_id))

    def send(self, session_id: str, message: stream.ConnectResponse) -> None:
        """Say something to an engine that is there."""
        outbox = self._outboxes.get(session_id)
        if outbox is None:
            return
        if message.HasField("distrust"):
            log.warning("engine_drained", session_id=session_id, reason=message.distrust.reason)
        if not message.HasField("done_ack"):
            _trace(message.run)
            outbox.put_nowait(message)
            self.offers.made(session_id, message.run)
            return
        # Nobody waits for these: a few of them go in one message.
        if not self._acks:
            asyncio.get_running_loop().call_later(_ACK_SECONDS, self._acknowledge)
        self._acks[session_id].extend(message.done_ack.attempts)

    def _acknowledge(self) -> None:
        acks, self._acks = self._acks, defaultdict(list)
        for session_id, attempts in acks.items():
            outbox = self._outboxes.get(session_id)
            if outbox is not None:
                response = stream.ConnectResponse()
                response.done_ack.attempts.extend(attempts)
                outbox.put_nowait(response)

    def beat(self, session: execution.Session, number: int) -> None:
        """Have a session's lease renewed soon, together with others."""
        self._beats[session.session_id] = (session, number)
        self._beaten.set()

    async def keep_leases(self) -> None:
        """Renew the leases of those who beat, for ever."""
        while True:
            await self._beaten.wait()
            self._beaten.clear()
            beats, self._beats = self._beats, {}
            try:
                ended, lease = await self._renew([session for session, _ in beats.values()])
            except errors.SavannaError as error:
                # No acknowledgement goes out; engines beat again, or fence themselves.
                log.warning("sessions_not_renewed", error=str(error))
                continue
            for session_id, (_, number) in beats.items():
                if session_id in ended:
                    self._end(session_id)
                    self._feed(events.SessionEnded(session_id))
                else:
                    self._feed(events.Renewed(session_id, lease))
                    ack = stream.BeatAck(number=number)
                    self.send(session_id, stream.ConnectResponse(beat_ack=ack))

    def end_all(self) -> None:
        """End all streams, and admit nobody any more."""
        self._closed = True
        for session_id in list(self._outboxes):
            self._end(session_id)

    async def _renew(self, sessions: list[execution.Session]) -> tuple[set[str], float]:
        answer = await self._conductor.RenewSessions(
            execution.RenewSessionsRequest(sessions=sessions), timeout=_RENEW_SECONDS
        )
        return set(answer.ended), answer.lease.ToMilliseconds() / 1000

    def _end(self, session_id: str) -> None:
        self._acknowledge()
        self.offers.forget(session_id)
        outbox = self._outboxes.pop(session_id, None)
        if outbox is not None:
            outbox.put_nowait(None)


def _trace(run: stream.Run) -> None:
    """Tell traces that their steps are handed out, so that what engines do follows from it."""
    if not telemetry.is_exported():
        return
    for each in run.assignments:
        with telemetry.span(
            f"hand out {each.kind}", each.traceparent, task=each.key, attempt=each.number
        ):
            each.traceparent = telemetry.current_traceparent()
