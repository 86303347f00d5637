"""One life of an engine towards all schedulers: it does what the session's core decides.

The lease of a session is renewed by beats. A session that was not heard for the time of its fence
stops all that it runs before anyone else may begin it again, and is never used any more.
"""

from __future__ import annotations

import asyncio
import uuid
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Failure
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine import core
from savanna_kit import logs
from savanna_kit.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from savanna_engine.attempt_log import AttemptLog
    from savanna_engine.runner import Runner

log = logs.get_logger(__name__)
_LOOK_SECONDS = 0.1


class Session:
    """Attempts under way and results to be acknowledged, for all schedulers."""

    def __init__(
        self, runner: Runner, clock: Clock | None = None, attempts: AttemptLog | None = None
    ) -> None:
        self.id = str(uuid.uuid4())
        self._runner = runner
        self._attempts = attempts
        self._clock = clock or SystemClock()
        self._core = core.SessionCore(runner.knows, self.now())
        self._tasks: dict[tuple[str, int], asyncio.Task[stream.Result]] = {}
        self._sinks: set[Callable[[stream.ConnectRequest], None]] = set()

    def now(self) -> float:
        """Give the session's time, in seconds."""
        return self._clock.monotonic()

    @property
    def is_over(self) -> bool:
        """Say whether the session has ended."""
        return self._core.is_over

    @property
    def owed(self) -> int:
        """Count the results that are not acknowledged."""
        return self._core.owed

    @property
    def margin(self) -> float:
        """Give the seconds until it must end, should it not be heard before."""
        return self._core.margin(self.now())

    # What runs.

    def running(self) -> list[stream.AttemptRef]:
        """List attempts under way, and those whose results are not acknowledged."""
        return self._core.running()

    def begin(self, assignments: Iterable[stream.Assignment]) -> None:
        """Begin attempts, or refuse them."""
        self._do(self._core.offered(assignments, self.now()))

    def cancel(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts; each answers with a result."""
        self._do(self._core.cancelled(refs, self.now()))

    def drop(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Stop attempts that belong to nobody."""
        self._do(self._core.dropped(refs))

    def acknowledge(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Forget results that are stored."""
        self._core.acknowledged(refs)

    def leave(self) -> None:
        """Take nothing more."""
        self._core.is_leaving = True

    async def idle(self) -> None:
        """Wait until nothing runs and every result is stored."""
        while not self._core.is_idle:
            await asyncio.sleep(0.05)

    def end(self) -> None:
        """Stop everything, for good."""
        self._do(self._core.end())

    # Schedulers.

    def attach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Add a scheduler; it is told at once what it may not know."""
        self._sinks.add(sink)
        if (debts := self._core.debts()) is not None:
            sink(debts)

    def detach(self, sink: Callable[[stream.ConnectRequest], None]) -> None:
        """Remove a scheduler."""
        self._sinks.discard(sink)

    def fence_after(self, seconds: float, since: float | None = None) -> None:
        """Learn how long the session may go unheard.

        The lease was surely renewed after ``since``, when the scheduler was greeted.
        """
        self._core.fence_after(seconds, self.now() if since is None else since)

    def next_beat(self) -> stream.ConnectRequest:
        """Make a beat."""
        return self._core.next_beat(self.now())

    def heard(self, number: int) -> None:
        """Note that the lease was renewed after a beat was sent."""
        self._core.heard(number)

    async def watch(self) -> None:
        """Return when the session has ended: by wish, or because it was not heard in time."""
        while not self.is_over:
            await asyncio.sleep(_LOOK_SECONDS)
            self._do(self._core.tick(self.now()))

    # Doing.

    def _do(self, commands: Iterable[core.Command]) -> None:
        for command in commands:
            if isinstance(command, core.Start):
                self._start(command.assignment)
            elif isinstance(command, core.Stop):
                with _told():
                    if self._attempts is not None:
                        self._attempts.stop(self.id, command.ref)
                self._tasks[command.ref.task_id, command.ref.epoch].cancel()
            else:
                for sink in self._sinks:
                    sink(command.message)

    def _start(self, assignment: stream.Assignment) -> None:
        ref = assignment.attempt
        attempt = self._runner.attempt
        try:
            if self._attempts is not None:
                self._attempts.begin(self.id, assignment)
        except OSError as error:
            attempt = partial(_not_begun, error)
        task = asyncio.create_task(attempt(assignment))
        self._tasks[ref.task_id, ref.epoch] = task
        task.add_done_callback(partial(self._ended, ref))

    def _ended(self, ref: stream.AttemptRef, task: asyncio.Task[stream.Result]) -> None:
        del self._tasks[ref.task_id, ref.epoch]
        result = _result(ref, task)
        with _told():
            if self._attempts is not None:
                self._attempts.end(self.id, result)
        self._do(self._core.ended(result, self.now()))


@contextmanager
def _told() -> Iterator[None]:
    """Go on when the file of attempts takes nothing more: what has begun there and has no end is
    not known."""
    try:
        yield
    except OSError as error:
        log.error("attempt_not_told", error=str(error))


async def _not_begun(error: OSError, assignment: stream.Assignment) -> stream.Result:
    message = (
        f"'{assignment.key}' was not begun: the engine's file of attempts can not be written "
        f"({error}); make room on its disk, then try again"
    )
    failure = Failure(reason="INTERNAL", message=message, retryable=True)
    return stream.Result(attempt=assignment.attempt, failed=failure)


def _result(ref: stream.AttemptRef, task: asyncio.Task[stream.Result]) -> stream.Result:
    if task.cancelled():
        return stream.Result(attempt=ref, cancelled=stream.Cancelled())
    error = task.exception()
    if error is None:
        return task.result()
    log.error("attempt_broke", task_id=ref.task_id, error=repr(error))
    message = f"the attempt broke: {error!r}; the engine's log says more"
    failure = Failure(reason="INTERNAL", message=message, retryable=True)
    return stream.Result(attempt=ref, failed=failure)
