"""One life of an engine towards all schedulers: what it runs, what it owes them, and when it must
stop.

The lease of a session is renewed by beats. A session that was not heard for the time of its fence
stops all that it runs before anyone else may begin it again, and is never used any more.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Failure
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import logs
from savanna_kit.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from savanna_engine.runner import Runner

log = logs.get_logger(__name__)
KEEP_SECONDS = 120.0
"""A result that nobody acknowledges for so long belongs to an operation that is over."""

RESEND_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_UNFENCED = 3600.0


@dataclass
class _Attempt:
    """An attempt under way; its task gives None when it was refused after all."""

    epoch: int
    task: asyncio.Task[stream.Result | None]
    is_owed: bool = True
    """Whether anyone waits for its result."""

    def stop(self) -> None:
        """Stop it, once: a second time would cut its own stopping short."""
        if not self.task.cancelling():
            self.task.cancel()


@dataclass
class _Owed:
    """A result that is not acknowledged."""

    result: stream.Result
    since: float
    resend_at: float


class Session:
    """Attempts under way and results to be acknowledged, for all schedulers."""

    def __init__(
        self, runner: Runner, slots: Mapping[str, int], clock: Clock | None = None
    ) -> None:
        self.id = str(uuid.uuid4())
        self.slots = dict(slots)
        self.is_over = False
        self.is_leaving = False
        self._runner = runner
        self._clock = clock or SystemClock()
        self._running: dict[str, _Attempt] = {}
        self._results: dict[tuple[str, int], _Owed] = {}
        self._sinks: set[Callable[[stream.ConnectRequest], None]] = set()
        self._heard = self.now()
        self._fence = _UNFENCED
        self._beats: dict[int, float] = {}
        self._beat = 0

    def now(self) -> float:
        """Give the session's time, in seconds."""
        return self._clock.monotonic()

    # What runs.

    def running(self) -> list[stream.AttemptRef]:
        """List attempts under way, and those whose results are not acknowledged."""
        refs = [(task_id, attempt.epoch) for task_id, attempt in self._running.items()]
        return [
            stream.AttemptRef(task_id=task_id, epoch=epoch)
            for task_id, epoch in [*refs, *self._results]
        ]

    def begin(self, assignments: Iterable[stream.Assignment]) -> None:
        """Begin attempts; those that are known already go on as they are.

        One with a higher epoch takes the place of an older one, once that has stopped.
        """
        received = self.now()
        for assignment in assignments:
            ref = assignment.attempt
            older = self._running.get(ref.task_id)
            if (ref.task_id, ref.epoch) in self._results or (older and older.epoch >= ref.epoch):
                continue
            reason = self._refusal(assignment)
            if reason:
                self._refuse(ref, reason)
                continue
            if older is not None:
                older.is_owed = False
                older.stop()
            before = older.task if older is not None else None
            attempt = _Attempt(
                ref.epoch, asyncio.create_task(self._attempt(assignment, received, before))
            )
            self._running[ref.task_id] = attempt
            attempt.task.add_done_callback(partial(self._ended, ref, attempt))

    def cancel(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts; each answers with a result that says so, also one that is not known: then
        its offer was lost, and it will not be begun."""
        for ref in refs:
            attempt = self._running.get(ref.task_id)
            if attempt is not None and attempt.epoch == ref.epoch:
                attempt.stop()
            elif (ref.task_id, ref.epoch) not in self._results and not self.is_over:
                self._owe(stream.Result(attempt=ref, cancelled=stream.Cancelled()))

    def drop(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts that belong to nobody, and owe nothing for them."""
        for ref in refs:
            self._results.pop((ref.task_id, ref.epoch), None)
            attempt = self._running.get(ref.task_id)
            if attempt is not None and attempt.epoch == ref.epoch:
                attempt.is_owed = False
                attempt.stop()

    def acknowledge(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Forget results that are stored."""
        for ref in refs:
            self._results.pop((ref.task_id, ref.epoch), None)

    async def idle(self) -> None:
        """Wait until nothing runs and every result is stored."""
        while self._running or self._results:
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """Stop everything, for good."""
        self.is_over = True
        for attempt in self._running.values():
            attempt.stop()

    # Schedulers.

    def attach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Add a scheduler; it is told at once what it may not know."""
        self._sinks.add(sink)
        if self._results:
            results = [owed.result for owed in self._results.values()]
            sink(stream.ConnectRequest(done=stream.Done(results=results)))

    def detach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Remove a scheduler."""
        self._sinks.discard(sink)

    def fence_after(self, seconds: float, since: float | None = None) -> None:
        """Learn how long the session may go unheard.

        The lease was surely renewed after ``since``, when the scheduler was greeted.
        """
        self._fence = seconds
        self._heard = max(self._heard, self.now() if since is None else since)

    def next_beat(self) -> stream.ConnectRequest:
        """Make a beat."""
        now = self.now()
        self._beats = {n: sent for n, sent in self._beats.items() if now - sent <= self._fence}
        self._beat += 1
        self._beats[self._beat] = now
        return stream.ConnectRequest(beat=stream.Beat(number=self._beat))

    def heard(self, number: int) -> None:
        """Note that the lease was renewed after a beat was sent."""
        sent = self._beats.get(number)
        if sent is not None:
            self._heard = max(self._heard, sent)
        for each in [each for each in self._beats if each <= number]:
            del self._beats[each]

    async def watch(self) -> None:
        """Return when the session has ended: by wish, or because it was not heard in time."""
        while not self._is_fenced() and not self.is_over:
            await asyncio.sleep(_LOOK_SECONDS)
            self._resend()
        self.end()

    # Small things.

    def _refusal(self, assignment: stream.Assignment) -> str:
        if self._is_fenced() or self.is_over:
            return "FENCED"
        if self.is_leaving:
            return "DRAINING"
        return "" if self._runner.knows(assignment.kind) else "UNKNOWN_KIND"

    def _is_fenced(self) -> bool:
        return self.now() - self._heard > self._fence

    async def _attempt(
        self,
        assignment: stream.Assignment,
        received: float,
        before: asyncio.Task[stream.Result | None] | None,
    ) -> stream.Result | None:
        if before is not None:
            await asyncio.wait([before])
        patience = assignment.offer_ttl.ToMilliseconds() / 1000
        if assignment.HasField("offer_ttl") and self.now() - received > patience:
            self._refuse(assignment.attempt, "STALE_OFFER")
            return None
        accepted = stream.Accepted(attempts=[assignment.attempt])
        self._tell(stream.ConnectRequest(accepted=accepted))
        return await self._runner.attempt(assignment)

    def _ended(
        self, ref: stream.AttemptRef, attempt: _Attempt, task: asyncio.Task[stream.Result | None]
    ) -> None:
        if self._running.get(ref.task_id) is attempt:
            del self._running[ref.task_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("attempt_broke", task_id=ref.task_id, error=repr(error))
        if self.is_over or not attempt.is_owed:
            return
        if task.cancelled():
            self._owe(stream.Result(attempt=ref, cancelled=stream.Cancelled()))
        elif error is not None:
            message = f"the attempt broke: {error!r}; the engine's log says more"
            failure = Failure(reason="INTERNAL", message=message, retryable=True)
            self._owe(stream.Result(attempt=ref, failed=failure))
        elif (result := task.result()) is not None:
            self._owe(result)

    def _owe(self, result: stream.Result) -> None:
        ref, now = result.attempt, self.now()
        self._results[ref.task_id, ref.epoch] = _Owed(result, now, now + RESEND_SECONDS)
        self._tell(stream.ConnectRequest(done=stream.Done(results=[result])))

    def _refuse(self, ref: stream.AttemptRef, reason: str) -> None:
        self._tell(stream.ConnectRequest(refused=stream.Refused(attempt=ref, reason=reason)))

    def _tell(self, message: stream.ConnectRequest) -> None:
        for sink in self._sinks:
            sink(message)

    def _resend(self) -> None:
        """Send again what is not acknowledged: the operation may have another scheduler by now."""
        now = self.now()
        due = []
        for ref, owed in list(self._results.items()):
            if now - owed.since > KEEP_SECONDS:
                log.warning("result_unwanted", task_id=ref[0], epoch=ref[1])
                del self._results[ref]
            elif now >= owed.resend_at:
                owed.resend_at = now + RESEND_SECONDS
                due.append(owed.result)
        if due:
            self._tell(stream.ConnectRequest(done=stream.Done(results=due)))
