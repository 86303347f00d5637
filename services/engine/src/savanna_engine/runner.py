"""Attempts: one task each, from its assignment to its result, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from google.protobuf.message import DecodeError

from savanna.engine.v1.step_pb2 import StepBody
from savanna.operation.v1.operation_pb2 import Failure
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine import metrics
from savanna_engine.steps.base import Done, Later, StepFailed, Work, growing
from savanna_kit import context, errors, logs, telemetry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    Do = Callable[[Work], Awaitable[Done | Later]]

log = logs.get_logger(__name__)
DEFAULT_TIMEOUT = 600.0
GRACE = 30.0
"""A step keeps its time itself, and tells more when it does not make it; this much later it is cut
off."""

MOST_BYTES = 48 * 2**20
"""A larger result may fit into no message on its way to the database."""

_REMEMBERED = 20_000


class Runner:
    """Knows how each kind of step is done."""

    def __init__(
        self,
        kinds: Mapping[str, Do],
        interrupt: Callable[[Work], Awaitable[None]],
        grace: float = GRACE,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._kinds = kinds
        self._interrupt = interrupt
        self._grace = grace
        self._most_bytes = most_bytes
        self._looks: OrderedDict[str, int] = OrderedDict()
        self.busy: Counter[str] = Counter()
        """Attempts under way, by pool."""

    def knows(self, kind: str) -> bool:
        """Say whether a kind of step can be done here."""
        return kind in self._kinds

    async def attempt(self, assignment: stream.Assignment) -> stream.Result:
        """Do a step; its result, also when it fails.

        Cancelling it stops what it runs on a host.
        """
        result = stream.Result(attempt=assignment.attempt)
        try:
            work = self._work(assignment)
        except DecodeError as error:
            message = f"'{assignment.key}' can not be read ({error}): run one version of Savanna"
            failure = Failure(reason="BODY_UNREADABLE", message=message, task_key=assignment.key)
            result.failed.CopyFrom(failure)
            return result
        # An attempt is a task of its own: what is bound here ends with it.
        structlog.contextvars.bind_contextvars(
            operation_id=work.operation_id, key=work.key, epoch=work.epoch
        )
        context.enter_deadline(work.timeout)
        with telemetry.span(
            f"step {work.kind}", assignment.traceparent, task=work.key, attempt=work.number
        ) as span:
            with self._measured(work, result):
                outcome = await self._outcome(work)
                self._fill(result, work, outcome)
            if result.ByteSize() > self._most_bytes:
                result.failed.CopyFrom(_too_large(work, result.ByteSize(), self._most_bytes))
            span.set_attribute("outcome", result.WhichOneof("outcome") or "")
        return result

    @contextmanager
    def _measured(self, work: Work, result: stream.Result) -> Iterator[None]:
        begin = time.perf_counter()
        self.busy[work.pool] += 1
        try:
            yield
        finally:
            self.busy[work.pool] -= 1
            # One that is cancelled is cut off before it has a result.
            outcome = result.WhichOneof("outcome") or "cancelled"
            metrics.STEP_SECONDS.record(time.perf_counter() - begin, work.kind, outcome)

    async def _outcome(self, work: Work) -> Done | Later | Failure:
        try:
            async with asyncio.timeout(work.timeout + self._grace):
                return await self._kinds[work.kind](work)
        except asyncio.CancelledError:
            await self._stop(work)
            raise
        except StepFailed as failed:
            return failed.failure
        except (errors.Unavailable, errors.DeadlineExceeded) as error:
            # A neighbour in the mesh is away: that is no fault of the step and uses up no try.
            log.warning("step_waits", error=str(error))
            return Later(growing(work.looks, first=0.5, most=5.0))
        except errors.SavannaError as error:
            return _unforeseen(work, error.reason, str(error))
        except TimeoutError:
            await self._stop(work)
            message = f"'{work.key}' was not done in {work.timeout:.0f} s"
            return _unforeseen(work, "TIMED_OUT", message)
        except Exception as error:
            log.exception("step_broke")
            message = f"'{work.key}' broke: {error!r}; the engine's log says where"
            return _unforeseen(work, "INTERNAL", message)

    def _work(self, assignment: stream.Assignment) -> Work:
        attempt = assignment.attempt
        return Work(
            task_id=attempt.task_id,
            epoch=attempt.epoch,
            operation_id=assignment.operation_id,
            key=assignment.key,
            kind=assignment.kind,
            pool=assignment.pool,
            body=StepBody.FromString(assignment.body),
            number=assignment.number,
            timeout=assignment.timeout.ToMilliseconds() / 1000 or DEFAULT_TIMEOUT,
            instance=assignment.instance,
            looks=self._looks.get(attempt.task_id, 0),
        )

    def _fill(self, result: stream.Result, work: Work, outcome: Done | Later | Failure) -> None:
        if isinstance(outcome, Failure):
            result.failed.CopyFrom(outcome)
            return
        facts = b""
        if outcome.facts is not None:
            facts = outcome.facts.SerializeToString(deterministic=True)
        if isinstance(outcome, Later):
            self._looks[work.task_id] = work.looks + 1
            self._looks.move_to_end(work.task_id)
            if len(self._looks) > _REMEMBERED:
                self._looks.popitem(last=False)
            result.not_yet.facts = facts
            result.not_yet.retry_after.FromMilliseconds(int(outcome.seconds * 1000))
            return
        self._looks.pop(work.task_id, None)
        result.succeeded.facts = facts
        result.succeeded.spawn.extend(outcome.spawn)
        result.succeeded.unwanted.extend(outcome.unwanted)
        if outcome.replan_after is not None:
            result.succeeded.replan_after.FromMilliseconds(int(outcome.replan_after * 1000))
        if outcome.conclusion is not None:
            result.succeeded.conclusion.CopyFrom(outcome.conclusion)

    async def _stop(self, work: Work) -> None:
        """Stop what runs on the host, if it still answers: a later epoch would do so in any
        case."""
        try:
            await asyncio.shield(self._interrupt(work))
        except Exception as error:
            log.warning("interrupt_failed", error=str(error))


def _too_large(work: Work, size: int, most: int) -> Failure:
    return Failure(
        reason="RESULT_TOO_LARGE",
        message=(
            f"'{work.key}' gave a result of {size} bytes, and no message holds more than {most}: "
            "see what it told or asked for; if that was little, report it with the operation's id"
        ),
        instance=work.instance,
        task_key=work.key,
    )


def _unforeseen(work: Work, reason: str, message: str) -> Failure:
    return Failure(
        reason=reason,
        message=message,
        instance=work.instance,
        retryable=True,
        task_key=work.key,
    )
