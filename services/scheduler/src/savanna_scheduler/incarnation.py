"""One life of a scheduler: from its lease to the loss of it.

It does what the core wants, and tells it what came of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_kit import crashes, errors, logs
from savanna_kit.retry import Backoff
from savanna_scheduler import metrics
from savanna_scheduler.core import events
from savanna_scheduler.core.scheduler import SchedulerCore
from savanna_scheduler.engines import Engines

if TYPE_CHECKING:
    from random import Random

    from savanna.conductor.v1 import execution_service_pb2_grpc
    from savanna_scheduler.core.policy import Policy
    from savanna_scheduler.settings import SchedulerSettings

log = logs.get_logger(__name__)
_BACKOFF = Backoff(initial=0.1, cap=2.0)
_HAND_OVER_SECONDS = 1.0
_TURNS = 4
"""Of the loop, until a request has left. Too few cost time, and nothing else."""

_OF_ALL = (
    errors.FailedPrecondition,
    errors.PermissionDenied,
    errors.Unauthenticated,
    errors.Unimplemented,
)
"""Failures that any commit of this incarnation would meet."""

_UNKNOWN = (errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled)
"""Failures after which a commit may be stored or not."""


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
        self.engines = Engines(conductor, self.feed)
        self._conductor = conductor
        self._given = given
        self._chance = chance
        self.core = SchedulerCore(scheduler_id, policy, chance)
        self.lease_until = time.monotonic()
        """When its lease ends if it is not renewed, in monotonic seconds."""

        self._commits: asyncio.Queue[events.Commit] = asyncio.Queue()
        self._committing = False
        self._handing_over = False
        self._settled = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._due: float | None = None
        self._over = asyncio.Event()
        self._reason = ""

    async def live(self, address: str) -> None:
        """Own and drive operations until the lease is lost or something unclear happens; raises
        ``IncarnationOver``."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_over())
                lease = await self._first_lease(address)
                for loop in (
                    self._keep_lease(address, lease),
                    self._claim(),
                    self._commit(),
                    self.engines.keep_leases(),
                ):
                    group.create_task(loop)
        except* IncarnationOver as over:
            raise over.exceptions[0] from None
        finally:
            self.finish("it ended")
            self.engines.end_all()
            if self._timer is not None:
                self._timer.cancel()

    def feed(self, event: events.Event) -> None:
        """Tell the core, and do what it wants."""
        if self._over.is_set():
            return
        try:
            commands = self.core.handle(event, time.monotonic())
        except Exception as error:
            # Memory may be wrong now; the database is not.
            log.exception("core_broke", scheduler_id=self.id)
            self.finish(f"the core broke: {error!r}")
            return
        for command in commands:
            if isinstance(command, events.Commit):
                self._begin_commit(command)
            elif isinstance(command, events.Send):
                crashes.here("scheduler.send.before")
                self.engines.send(command.session_id, command.message)
                crashes.here("scheduler.send.after")
            elif isinstance(command, events.Abandon):
                self.finish(command.reason)
        self._set_timer()

    def finish(self, reason: str) -> None:
        """End this life; what is not recorded is forgotten."""
        self._reason = self._reason or reason
        self._over.set()
        self._settled.set()

    async def hand_over(self) -> None:
        """End in order: let the commit under way arrive, then let others go on at once."""
        self._handing_over = True
        if self._committing and not self._over.is_set():
            try:
                async with asyncio.timeout(_HAND_OVER_SECONDS):
                    await self._settled.wait()
            except TimeoutError:
                log.warning("handed_over_unclear", scheduler_id=self.id)
        await self.release()
        self.finish("the service ends")

    async def release(self) -> None:
        """Give up the lease; if that fails it ends by itself."""
        try:
            await self._conductor.ReleaseScheduler(
                execution.ReleaseSchedulerRequest(scheduler_id=self.id), timeout=2
            )
        except errors.SavannaError as error:
            log.warning("release_failed", scheduler_id=self.id, error=str(error))

    # Loops.

    async def _until_over(self) -> None:
        await self._over.wait()
        raise IncarnationOver(self._reason)

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
        asked = time.monotonic()
        request = execution.RenewSchedulerRequest(
            scheduler_id=self.id, address=address, drained=self.core.trust.drained(asked)
        )
        answer = await self._conductor.RenewScheduler(request, timeout=5)
        self.feed(events.Peers(max(1, answer.living_schedulers)))
        lease = answer.lease.ToMilliseconds() / 1000
        self.lease_until = asked + lease
        return lease

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
        limit = self._given.claim_wait_seconds + 10
        while not self._handing_over:
            known = [
                graph.id
                for graph in self.core.operations.values()
                if graph.operation.cancel_requested
            ]
            request = execution.ClaimRequest(scheduler_id=self.id, wait=wait, known_cancels=known)
            try:
                answer = await self._conductor.Claim(request, timeout=limit)
            except errors.Aborted:
                self.feed(events.LeaseLost())
                return
            except errors.SavannaError as error:
                # The answer may have been lost on its way, with operations in it that nobody would
                # carry out.
                self.finish(f"a claim failed: {error}")
                return
            for event in events.claimed(answer):
                self.feed(event)

    def _begin_commit(self, command: events.Commit) -> None:
        if self._handing_over and not self._committing:
            # Whoever takes over decides again; engines send their results again.
            return
        self._committing = True
        self._settled.clear()
        self._commits.put_nowait(command)

    async def _commit(self) -> None:
        attempt = 0
        arrived: events.Committed | None = None
        while True:
            command = await self._commits.get()
            async with asyncio.TaskGroup() as both:
                asking = both.create_task(self._ask(command))
                if arrived is not None:
                    # The conductor works on this commit, we look at the verdicts of the last.
                    for _ in range(_TURNS):
                        await asyncio.sleep(0)
                    self.feed(arrived)
            outcome, arrived = asking.result(), None
            if isinstance(outcome, events.CommitUnknown):
                attempt += 1
                await asyncio.sleep(_BACKOFF.delay(attempt, self._chance.random()))
                self.feed(outcome)
                continue
            attempt = 0
            if isinstance(outcome, events.Committed):
                arrived = self._begin_next(outcome)
            elif outcome is not None:
                self._feed_settled(outcome)

    async def _ask(
        self, command: events.Commit
    ) -> events.Committed | events.CommitUnknown | events.CommitRefused | events.LeaseLost | None:
        """Have a commit stored; gives what became of it, None when this life is over."""
        request = execution.CommitRequest(
            scheduler_id=self.id, number=command.number, changes=command.changes
        )
        crashes.here("scheduler.commit.before")
        begin = time.perf_counter()
        try:
            answer = await self._conductor.Commit(request, timeout=20)
        except errors.Aborted:
            return events.LeaseLost()
        except _UNKNOWN as error:
            log.warning("commit_unknown", number=command.number, error=str(error))
            return events.CommitUnknown(command.number)
        except _OF_ALL as error:
            log.error("commit_refused", number=command.number, error=str(error))
            self.finish(f"a commit was refused: {error}")
            return None
        except errors.SavannaError as error:
            log.error("commit_not_stored", number=command.number, error=str(error))
            metrics.COMMITS_REFUSED.add()
            return await self._make_void(command, str(error))
        crashes.here("scheduler.commit.after")
        metrics.COMMIT_SECONDS.record(time.perf_counter() - begin)
        metrics.COMMIT_CHANGES.record(len(command.changes))
        return events.Committed(command.number, answer.verdicts)

    async def _make_void(
        self, command: events.Commit, error: str
    ) -> events.Committed | events.CommitRefused | events.LeaseLost | None:
        """Find out whether a commit that failed was stored after all: an empty one under its number
        sees to it that it never is, or gives its outcome; None when this life is over."""
        request = execution.CommitRequest(scheduler_id=self.id, number=command.number)
        attempt = 0
        while True:
            try:
                answer = await self._conductor.Commit(request, timeout=20)
            except errors.Aborted:
                return events.LeaseLost()
            except _UNKNOWN:
                attempt += 1
                await asyncio.sleep(_BACKOFF.delay(attempt, self._chance.random()))
                continue
            except errors.SavannaError as fault:
                self.finish(f"not even an empty commit is taken: {fault}")
                return None
            if answer.verdicts:
                return events.Committed(command.number, answer.verdicts)
            return events.CommitRefused(command.number, error)

    def _begin_next(self, answer: events.Committed) -> events.Committed | None:
        """Let the next commit begin, and give the answer back for later; if there is none, tell the
        core at once."""
        self._committing = False
        self.feed(events.Stored(answer.number))
        if self._committing:
            return answer
        self._feed_settled(answer)
        return None

    def _feed_settled(self, event: events.Event) -> None:
        self._committing = False
        self.feed(event)
        if not self._committing:
            self._settled.set()

    def _set_timer(self) -> None:
        due = self.core.next_timer()
        if due == self._due:
            return
        self._due = due
        if self._timer is not None:
            self._timer.cancel()
        if due is not None:
            wait = max(0.0, due - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._due = None
        self.feed(events.Tick())
