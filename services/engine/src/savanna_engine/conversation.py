"""The engine's side of the stream: one conversation with one scheduler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit import crashes, errors, logs, status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_engine.session import Session

    Stream = grpc.aio.StreamStreamCall[stream.ConnectRequest, stream.ConnectResponse]

log = logs.get_logger(__name__)
_PROTOCOL = 1
_WELCOME_SECONDS = 10.0
_DONE_BYTES = 2**20
"""Bytes after which a message with results is full."""


class SessionOver(Exception):
    """The session's lease is over: it must stop all it runs, and a new one must take its place."""


class Conversation:
    """Introduces a session to a scheduler, and carries what both say until either side ends."""

    def __init__(self, session: Session, engine_id: str, channel: grpc.aio.Channel) -> None:
        self._session = session
        self._engine_id = engine_id
        self._stub: scheduler_service_pb2_grpc.SchedulerServiceAsyncStub = (
            scheduler_service_pb2_grpc.SchedulerServiceStub(channel)
        )
        self._outbox: asyncio.Queue[stream.ConnectRequest] = asyncio.Queue()
        self._beat_seconds = 1.0

    def say(self, message: stream.ConnectRequest) -> None:
        """Send something when its turn comes."""
        self._outbox.put_nowait(message)

    async def hold(self, slots: dict[str, int], capacity: dict[str, int]) -> None:
        """Talk until the scheduler ends it; ``slots`` are this scheduler's part of the capacity.

        Raises ``SessionOver``; ``Unavailable`` and the like when the scheduler is gone.
        """
        call = self._stub.Connect()
        try:
            hello = stream.Hello(
                session_id=self._session.id,
                engine_id=self._engine_id,
                protocol=_PROTOCOL,
                running=self._session.running(),
                credit=stream.Credit(slots=slots),
                capacity=capacity,
            )
            greeted = self._session.now()
            await call.write(stream.ConnectRequest(hello=hello))
            async with asyncio.timeout(_WELCOME_SECONDS):
                self._welcome(await call.read(), greeted)
            self._session.attach(self.say)
            await self._exchange(call)
        except grpc.aio.AioRpcError as failure:
            raise _translated(failure) from failure
        finally:
            self._session.detach(self.say)
            call.cancel()

    async def _exchange(self, call: Stream) -> None:
        told = [asyncio.create_task(self._write(call)), asyncio.create_task(self._beat())]
        try:
            await self._read(call)
        finally:
            for task in told:
                task.cancel()
            await asyncio.gather(*told, return_exceptions=True)

    def _welcome(self, response: object, greeted: float) -> None:
        if not isinstance(response, stream.ConnectResponse) or not response.HasField("welcome"):
            raise errors.Unavailable("the scheduler ended the conversation before it began")
        welcome = response.welcome
        self._beat_seconds = welcome.beat_interval.ToMilliseconds() / 1000
        self._session.fence_after(welcome.self_fence.ToMilliseconds() / 1000, greeted)
        self._session.drop(welcome.drop)
        log.info("scheduler_met", scheduler_id=welcome.scheduler_id, session_id=self._session.id)

    async def _read(self, call: Stream) -> None:
        # Read one by one: a call that was read once can not be iterated over (grpc.aio).
        while isinstance(response := await call.read(), stream.ConnectResponse):
            kind = response.WhichOneof("message")
            if kind == "run":
                self._session.begin(response.run.assignments)
            elif kind == "cancel":
                self._session.cancel(response.cancel.attempts)
            elif kind == "beat_ack":
                self._session.heard(response.beat_ack.number)
            elif kind == "done_ack":
                self._session.acknowledge(response.done_ack.attempts)
            elif kind == "distrust":
                log.warning("engine_drained", reason=response.distrust.reason)
            elif kind == "drain":
                return

    async def _write(self, call: Stream) -> None:
        try:
            while True:
                first = await self._outbox.get()
                # Whatever else has its turn now speaks before the line is busy: a write costs many
                # times what its words do.
                await asyncio.sleep(0)
                said = [first]
                while not self._outbox.empty():
                    said.append(self._outbox.get_nowait())
                for message in _joined(said):
                    crashes.here("engine.send.before")
                    await call.write(message)
                    crashes.here("engine.send.after")
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream has ended: reading tells why.
            return

    async def _beat(self) -> None:
        while True:
            self.say(self._session.next_beat())
            await asyncio.sleep(self._beat_seconds)


def _joined(messages: Iterable[stream.ConnectRequest]) -> list[stream.ConnectRequest]:
    """Join results, and acceptances, into few messages; the order of all else stays.

    An acceptance may move behind later words, and is left out where the result is told already: it
    only saves an offer from being made again.
    """
    accepted: dict[tuple[str, int], stream.AttemptRef] = {}
    joined: list[stream.ConnectRequest] = []
    room = 0
    for message in messages:
        kind = message.WhichOneof("message")
        if kind == "accepted":
            accepted |= {(ref.task_id, ref.epoch): ref for ref in message.accepted.attempts}
            continue
        if kind == "done":
            for result in message.done.results:
                accepted.pop((result.attempt.task_id, result.attempt.epoch), None)
                size = result.ByteSize()
                if not joined or not joined[-1].HasField("done") or room < size:
                    joined.append(stream.ConnectRequest(done=stream.Done()))
                    room = _DONE_BYTES
                joined[-1].done.results.append(result)
                room -= size
        else:
            joined.append(message)
    if accepted:
        begun = stream.Accepted(attempts=accepted.values())
        joined.append(stream.ConnectRequest(accepted=begun))
    return joined


def _translated(failure: grpc.aio.AioRpcError) -> Exception:
    error = status.from_rpc_error(failure)
    return SessionOver(str(error)) if error.reason == "SESSION_OVER" else error
