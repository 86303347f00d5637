"""One life of a scheduler: from its lease to the loss of it.

It does what the core wants, and tells it what came of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import errors, logs
from savanna_kit.retry import Backoff
from savanna_scheduler.core import events
from savanna_scheduler.core.scheduler import SchedulerCore

if TYPE_CHECKING:
    from random import Random

    from savanna.conductor.v1 import execution_service_pb2_grpc
    from savanna_scheduler.core.policy import Policy
    from savanna_scheduler.settings import SchedulerSettings

log = logs.get_logger(__name__)
_BACKOFF = Backoff(initial=0.1, cap=2.0)


class IncarnationOver(Exception):
    """This incarnation must forget everything; the text says why."""


class Incarnation:
    """A scheduler with an identity of its own in the database."""

    def __init__(
        self,
        scheduler_id: str,
        conductor: execution_service_pb2_grpc.ExecutionServiceAsyncStub,
        *,
        given: SchedulerSettings,
        policy: Policy,
        chance: Random,
    ) -> None:
        self.id = scheduler_id
        self._conductor = conductor
        self._given = given
        self._chance = chance
        self._core = SchedulerCore(scheduler_id, policy, chance)
        self._streams: dict[str, asyncio.Queue[stream.ConnectResponse | None]] = {}
        self._beats: dict[str, tuple[execution.Session, int]] = {}
        self._beaten = asyncio.Event()
        self._commits: asyncio.Queue[events.Commit] = asyncio.Queue()
        self._committing = False
        self._timer: asyncio.TimerHandle | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def live(self, address: str) -> None:
        """Own and drive operations until the lease is lost or something unclear happens; raises
        ``IncarnationOver``."""
        lease = await self._first_lease(address)
        try:
            async with asyncio.TaskGroup() as group:
                for loop in (
                    self._keep_lease(address, lease),
                    self._claim(),
                    self._commit(),
                    self._renew_sessions(),
                    self._until_over(),
                ):
                    group.create_task(loop)
        except* IncarnationOver as over:
            raise over.exceptions[0] from None
        finally:
            self._end_streams()

    def feed(self, event: events.Event) -> None:
        """Tell the core, and do what it wants."""
        if self._over.done():
            return
        for command in self._core.handle(event, time.monotonic()):
            if isinstance(command, events.Commit):
                self._committing = True
                self._commits.put_nowait(command)
            elif isinstance(command, events.Send):
                queue = self._streams.get(command.session_id)
                if queue is not None:
                    queue.put_nowait(command.message)
            elif isinstance(command, events.Abandon):
                self._finish(command.reason)
        self._set_timer()

    # Engines.

    async def open_stream(
        self, hello: stream.Hello
    ) -> asyncio.Queue[stream.ConnectResponse | None]:
        """Admit an engine.

        Raises ``FailedPrecondition`` when its session is over.
        """
        session = execution.Session(session_id=hello.session_id, engine_id=hello.engine_id)
        answer = await self._conductor.RenewSessions(
            execution.RenewSessionsRequest(sessions=[session])
        )
        if hello.session_id in answer.ended:
            raise errors.FailedPrecondition(
                "the session is over: stop what it runs and start a new one", reason="SESSION_OVER"
            )
        former = self._streams.pop(hello.session_id, None)
        if former is not None:
            former.put_nowait(None)
        queue: asyncio.Queue[stream.ConnectResponse | None] = asyncio.Queue()
        self._streams[hello.session_id] = queue
        running = {each.task_id: each.epoch for each in hello.running}
        lease = answer.lease.ToMilliseconds() / 1000
        self.feed(
            events.Hello(
                hello.session_id, hello.engine_id, dict(hello.credit.slots), running, lease
            )
        )
        return queue

    def close_stream(
        self, session_id: str, queue: asyncio.Queue[stream.ConnectResponse | None]
    ) -> None:
        """Note that a stream has ended, unless another has taken its place."""
        if self._streams.get(session_id) is queue:
            del self._streams[session_id]
            self.feed(events.Disconnected(session_id))

    def beat(self, session: execution.Session, number: int) -> None:
        """Have a session's lease renewed soon, together with others."""
        self._beats[session.session_id] = (session, number)
        self._beaten.set()

    async def hand_over(self) -> None:
        """End in order: let the commit under way arrive, then let others go on at once."""
        self._finish("the service ends")
        async with asyncio.timeout(self._given.drain_seconds):
            while self._committing:
                await asyncio.sleep(0.01)
        await self.release()

    async def release(self) -> None:
        """Give up the lease; if that fails it ends by itself."""
        try:
            await self._conductor.ReleaseScheduler(
                execution.ReleaseSchedulerRequest(scheduler_id=self.id), timeout=2
            )
        except errors.SavannaError as error:
            log.warning("release_failed", scheduler_id=self.id, error=str(error))

    # Loops.

    async def _first_lease(self, address: str) -> float:
        attempt = 0
        while True:
            try:
                return await self._renew_lease(address)
            except errors.Aborted as error:
                raise IncarnationOver(str(error)) from error
            except errors.SavannaError as error:
                attempt += 1
                log.warning("conductor_unreachable", error=str(error), attempt=attempt)
                await asyncio.sleep(_BACKOFF.delay(attempt, self._chance.random()))

    async def _renew_lease(self, address: str) -> float:
        answer = await self._conductor.RenewScheduler(
            execution.RenewSchedulerRequest(scheduler_id=self.id, address=address), timeout=5
        )
        return answer.lease.ToMilliseconds() / 1000

    async def _keep_lease(self, address: str, lease: float) -> None:
        while True:
            await asyncio.sleep(lease / 4)
            try:
                lease = await self._renew_lease(address)
            except errors.Aborted:
                self.feed(events.LeaseLost())
            except errors.SavannaError as error:
                # Commits are fenced by the database: a late renewal is dangerous to nobody.
                log.warning("lease_not_renewed", error=str(error))

    async def _claim(self) -> None:
        wait = Duration()
        wait.FromMilliseconds(int(self._given.claim_wait_seconds * 1000))
        while True:
            known = [
                graph.id
                for graph in self._core.operations.values()
                if graph.operation.cancel_requested
            ]
            request = execution.ClaimRequest(scheduler_id=self.id, wait=wait, known_cancels=known)
            try:
                answer = await self._conductor.Claim(
                    request, timeout=self._given.claim_wait_seconds + 10
                )
            except errors.Aborted:
                self.feed(events.LeaseLost())
                return
            except errors.SavannaError as error:
                # The answer may have been lost on its way, with operations in it that nobody would
                # carry out.
                self._finish(f"a claim failed: {error}")
                return
            wall = time.time()
            for graph in answer.graphs:
                self.feed(events.Claimed(graph, wall))
            for operation_id in answer.cancels:
                self.feed(events.CancelRequested(operation_id))

    async def _commit(self) -> None:
        attempt = 0
        while True:
            command = await self._commits.get()
            request = execution.CommitRequest(
                scheduler_id=self.id, number=command.number, changes=command.changes
            )
            try:
                answer = await self._conductor.Commit(request, timeout=20)
            except errors.Aborted:
                self._committing = False
                self.feed(events.LeaseLost())
            except (errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled) as error:
                attempt += 1
                log.warning("commit_unknown", number=command.number, error=str(error))
                await asyncio.sleep(_BACKOFF.delay(attempt, self._chance.random()))
                self.feed(events.CommitUnknown(command.number))
            except errors.SavannaError as error:
                log.error("commit_refused", number=command.number, error=str(error))
                self._committing = False
                await asyncio.sleep(1.0)
                self._finish(f"a commit was refused: {error}")
            else:
                attempt = 0
                self._committing = False
                self.feed(events.Committed(command.number, answer.verdicts))

    async def _renew_sessions(self) -> None:
        while True:
            await self._beaten.wait()
            self._beaten.clear()
            beats, self._beats = self._beats, {}
            sessions = [session for session, _ in beats.values()]
            try:
                answer = await self._conductor.RenewSessions(
                    execution.RenewSessionsRequest(sessions=sessions), timeout=5
                )
            except errors.SavannaError as error:
                # No acknowledgement goes out; engines beat again, or fence themselves.
                log.warning("sessions_not_renewed", error=str(error))
                continue
            ended = set(answer.ended)
            for session_id, (_, number) in beats.items():
                if session_id in ended:
                    self._end_stream(session_id)
                    self.feed(events.SessionEnded(session_id))
                elif (queue := self._streams.get(session_id)) is not None:
                    ack = stream.BeatAck(number=number)
                    queue.put_nowait(stream.ConnectResponse(beat_ack=ack))

    async def _until_over(self) -> None:
        await self._over

    # Small things.

    def _finish(self, reason: str) -> None:
        if not self._over.done():
            self._over.set_exception(IncarnationOver(reason))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._core.next_timer()
        if due is not None:
            wait = max(0.0, due - time.monotonic())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait, self.feed, events.Tick())

    def _end_stream(self, session_id: str) -> None:
        queue = self._streams.pop(session_id, None)
        if queue is not None:
            queue.put_nowait(None)

    def _end_streams(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for session_id in list(self._streams):
            self._end_stream(session_id)
