"""Attempts under way in an engine: plans, calls of a cloud, commands on hosts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Failure
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from tests.simulation.planner import plan
from tests.unit.scheduler.database import INVALID_FACTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.engine import SimulatedSession
    from tests.simulation.hosts import Answer

    HostCall = Callable[[str, int, Answer], None]

_NOT_YET = 75
_STOP_SECONDS = 5.0


def begin(session: SimulatedSession, assignment: stream.Assignment) -> Attempt:
    """Begin an attempt of a kind."""
    kinds = {"plan": PlanAttempt, "make": CloudAttempt, "run": HostAttempt}
    return kinds[assignment.kind](session, assignment)


class Attempt:
    """One attempt; it ends once, by itself or because it was stopped."""

    def __init__(self, session: SimulatedSession, assignment: stream.Assignment) -> None:
        self.session = session
        self.engine = session.engine
        self.ref = assignment.attempt
        self.operation_id = assignment.operation_id
        self.is_stopping = False
        self._is_over = False
        self.engine.world.checker.began(self)
        self._work()

    @property
    def is_doing(self) -> bool:
        """Say whether it may do something to the world outside."""
        return self.engine.alive and not self.engine.is_frozen and not self.is_stopping

    def stop(self) -> None:
        """Stop it; it ends when that is done."""
        self.is_stopping = True
        self._interrupt()

    def _work(self) -> None:
        raise NotImplementedError

    def _interrupt(self) -> None:
        raise NotImplementedError

    def _end(self, result: stream.Result) -> None:
        if not self._is_over:
            self._is_over = True
            self.engine.world.checker.ended(self)
            result.attempt.CopyFrom(self.ref)
            self.session.ended(result)

    def _stopped(self) -> None:
        self._end(stream.Result(cancelled=stream.Cancelled()))


class PlanAttempt(Attempt):
    """Facts are read at its beginning; its answer may be old when it arrives."""

    def _work(self) -> None:
        world = self.engine.world
        world.conductor.call(
            self.engine,
            lambda: plan(world.database, self.operation_id),
            self._planned,
            lambda _: self._end(_later()),
        )

    def _planned(self, answer: stream.Succeeded) -> None:
        chance = self.engine.world.chance
        result = stream.Result(succeeded=answer)
        draw = chance.random()
        if draw < 0.05:
            result = stream.Result(failed=Failure(reason="PLUGIN_AWAY", retryable=True))
        elif draw > 0.99:
            result.succeeded.facts = INVALID_FACTS
        self.engine.after(chance.expovariate(2.0), lambda: self._end(result))

    def _interrupt(self) -> None:
        self.engine.after(0.0, self._stopped)


class CloudAttempt(Attempt):
    """A call of a cloud: it can not be broken off, only waited for."""

    @property
    def is_doing(self) -> bool:
        return self.engine.alive and not self.engine.is_frozen

    def _work(self) -> None:
        world = self.engine.world
        outcome = _drawn(world.chance.random())
        self.engine.after(world.effort(), lambda: self._end(outcome))

    def _interrupt(self) -> None:
        self.engine.after(self.engine.world.chance.uniform(0.0, 0.5), self._stopped)


class HostAttempt(Attempt):
    """A command on a host: what is on its way there goes on when the engine is dead."""

    def _work(self) -> None:
        self._reach(self.engine.world.hosts.run, self._ran)

    def _interrupt(self) -> None:
        self._reach(self.engine.world.hosts.stop, lambda _: self._stopped())
        # A host that does not answer keeps nobody for ever.
        self.engine.after(_STOP_SECONDS, self._stopped)

    def _reach(self, do: HostCall, then: Callable[[int | None], None]) -> None:
        world = self.engine.world

        def answered(code: int | None) -> None:
            world.after(world.delay(), partial(self.engine.receive, partial(then, code)))

        world.after(world.delay(), partial(do, self.ref.task_id, self.ref.epoch, answered))

    def _ran(self, code: int | None) -> None:
        if self.is_stopping:
            return
        if code == 0:
            self._end(stream.Result(succeeded=stream.Succeeded()))
        elif code == _NOT_YET:
            self._end(_later())
        else:
            self._end(stream.Result(failed=Failure(reason="COMMAND_FAILED", retryable=True)))


def _drawn(chance: float) -> stream.Result:
    if chance < 0.1:
        return _later()
    if chance < 0.2:
        return stream.Result(failed=Failure(reason="NO_ANSWER", retryable=chance < 0.19))
    facts = INVALID_FACTS if chance > 0.995 else b""
    return stream.Result(succeeded=stream.Succeeded(facts=facts))


def _later() -> stream.Result:
    result = stream.Result(not_yet=stream.NotYet())
    result.not_yet.retry_after.FromMilliseconds(300)
    return result
