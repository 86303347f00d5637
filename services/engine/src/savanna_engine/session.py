"""One life of an engine towards all schedulers: what it runs, what it owes them, and when it must
stop.

The lease of a session is renewed by beats. A session that was not heard for the time of its fence
stops all that it runs before anyone else may begin it again, and is never used any more.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from savanna_engine.runner import Runner

log = logs.get_logger(__name__)
KEEP_SECONDS = 120.0
"""A result that nobody acknowledges for so long belongs to an operation that is over."""

RESEND_SECONDS = 1.0
_UNFENCED = 3600.0


class Session:
    """Attempts under way and results to be acknowledged, for all schedulers."""

    def __init__(self, runner: Runner, slots: Mapping[str, int]) -> None:
        self.id = str(uuid.uuid4())
        self.slots = dict(slots)
        self.is_over = False
        self.is_leaving = False
        self._runner = runner
        self._running: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._results: dict[tuple[str, int], tuple[stream.Result, float]] = {}
        self._sinks: set[Callable[[stream.ConnectRequest], None]] = set()
        self._heard = time.monotonic()
        self._fence = _UNFENCED
        self._beats: dict[int, float] = {}
        self._beat = 0

    # What runs.

    def running(self) -> list[stream.AttemptRef]:
        """List attempts under way, and those whose results are not acknowledged."""
        refs = [(task_id, epoch) for task_id, (epoch, _) in self._running.items()]
        return [
            stream.AttemptRef(task_id=task_id, epoch=epoch)
            for task_id, epoch in [*refs, *self._results]
        ]

    def begin(self, assignments: Iterable[stream.Assignment]) -> None:
        """Begin attempts; those that are known already go on as they are."""
        accepted = []
        for assignment in assignments:
            ref = assignment.attempt
            known = self._running.get(ref.task_id)
            if (ref.task_id, ref.epoch) in self._results or (known and known[0] >= ref.epoch):
                continue
            reason = self._refusal(assignment)
            if reason:
                refused = stream.Refused(attempt=ref, reason=reason)
                self._tell(stream.ConnectRequest(refused=refused))
                continue
            task = asyncio.create_task(self._attempt(assignment))
            self._running[ref.task_id] = (ref.epoch, task)
            accepted.append(ref)
        if accepted:
            self._tell(stream.ConnectRequest(accepted=stream.Accepted(attempts=accepted)))

    def cancel(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts; each answers with a result that says so."""
        for ref in refs:
            epoch, task = self._running.get(ref.task_id, (0, None))
            if task is not None and epoch == ref.epoch:
                task.cancel()

    def drop(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts that belong to nobody, and owe nothing for them."""
        for ref in refs:
            self._results.pop((ref.task_id, ref.epoch), None)
        self.cancel(refs)

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
        for _, task in self._running.values():
            task.cancel()

    # Schedulers.

    def attach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Add a scheduler; it is told at once what it may not know."""
        self._sinks.add(sink)
        if self._results:
            results = [result for result, _ in self._results.values()]
            sink(stream.ConnectRequest(done=stream.Done(results=results)))

    def detach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Remove a scheduler."""
        self._sinks.discard(sink)

    def fence_after(self, seconds: float) -> None:
        """Learn how long the session may go unheard."""
        self._fence = seconds
        self._heard = time.monotonic()

    def next_beat(self) -> stream.ConnectRequest:
        """Make a beat."""
        self._beat += 1
        self._beats[self._beat] = time.monotonic()
        return stream.ConnectRequest(beat=stream.Beat(number=self._beat))

    def heard(self, number: int) -> None:
        """Note that the lease was renewed after a beat was sent."""
        sent = self._beats.get(number)
        if sent is not None:
            self._heard = max(self._heard, sent)
        for each in [each for each in self._beats if each <= number]:
            del self._beats[each]

    async def watch(self) -> None:
        """Return when the session must end: it was not heard in time."""
        while not self._is_fenced() and not self.is_over:
            await asyncio.sleep(0.1)
            self._resend()

    # Small things.

    def _refusal(self, assignment: stream.Assignment) -> str:
        if self._is_fenced() or self.is_over:
            return "FENCED"
        if self.is_leaving:
            return "DRAINING"
        return "" if self._runner.knows(assignment.kind) else "UNKNOWN_KIND"

    def _is_fenced(self) -> bool:
        return time.monotonic() - self._heard > self._fence

    async def _attempt(self, assignment: stream.Assignment) -> None:
        ref = assignment.attempt
        try:
            result = await self._runner.attempt(assignment)
        except asyncio.CancelledError:
            result = stream.Result(attempt=ref, cancelled=stream.Cancelled())
        self._running.pop(ref.task_id, None)
        if self.is_over:
            return
        self._results[ref.task_id, ref.epoch] = (result, time.monotonic())
        self._tell(stream.ConnectRequest(done=stream.Done(results=[result])))

    def _tell(self, message: stream.ConnectRequest) -> None:
        for sink in self._sinks:
            sink(message)

    def _resend(self) -> None:
        """Send again what is not acknowledged: the operation may have another scheduler by now."""
        now = time.monotonic()
        due = []
        for ref, (result, since) in list(self._results.items()):
            if now - since > KEEP_SECONDS:
                log.warning("result_unwanted", task_id=ref[0], epoch=ref[1])
                del self._results[ref]
            elif int((now - since) / RESEND_SECONDS) != int((now - since - 0.1) / RESEND_SECONDS):
                due.append(result)
        if due:
            self._tell(stream.ConnectRequest(done=stream.Done(results=due)))
