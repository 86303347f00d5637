"""The conductor: its rules, behind a line on which calls fail, get lost and come late."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.conductor.v1.execution_service_pb2 import Verdict
from savanna.operation.v1.operation_pb2 import Attempt
from tests.unit.scheduler.database import Database, LeaseLostError, OutOfOrderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.process import Process
    from tests.simulation.world import World

T = TypeVar("T")


class UnclearError(Exception):
    """No answer came: what was asked for may have happened, or may happen yet."""


class FaultError(Exception):
    """INTERNAL: a commit can not be stored, or its answer broke on the way."""


Failed = UnclearError | LeaseLostError | OutOfOrderError | FaultError


class Conductor:
    """Answers calls; any number of processes of it look like one that is seldom away."""

    def __init__(self, world: World) -> None:
        faults = world.faults
        self.database = Database(
            checks_epochs=faults.checks_epochs,
            checks_owners=faults.checks_owners,
            asks_sessions=faults.asks_sessions,
            keeps_keys=faults.keeps_keys,
        )
        self.down_until = 0.0
        self.slow_until = 0.0
        self._world = world
        self._storable: dict[tuple[str, str], bool] = {}

    def call(
        self,
        caller: Process,
        do: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Failed], None],
        *,
        timeout: float = 5.0,
        weight: float = 1.0,
    ) -> None:
        """Ask for something; exactly one of ``then`` and ``failed`` follows if the caller lives.

        ``weight`` makes failures of the line rarer for those who ask often.
        """
        world, faults = self._world, self._world.faults
        is_late = world.happens(weight * faults.call_late, "calls that came late")
        way = world.delay() + (world.chance.uniform(0.5, 4.0) if is_late else 0.0)
        if world.now < self.slow_until:
            way += world.chance.uniform(0.0, 6.0)
        is_apart = not (caller.is_reachable and caller.reaches_conductor)
        is_lost = is_apart or world.happens(weight * faults.call_fails, "calls that failed")
        patience = world.chance.uniform(0.1, 0.5) if is_late or is_lost else timeout
        if way > patience or is_lost:
            world.after(patience, partial(caller.receive, partial(failed, UnclearError())))
            then, failed = _unheard, _unheard
        if not is_lost:
            is_unheard = world.happens(weight * faults.reply_lost, "replies lost")
            world.after(way, partial(self._answer, caller, do, then, failed, is_unheard=is_unheard))

    def _answer(
        self,
        caller: Process,
        do: Callable[[], T],
        then: Callable[[T], None],
        failed: Callable[[Failed], None],
        *,
        is_unheard: bool,
    ) -> None:
        self.database.now = self._world.now
        try:
            if self._world.now < self.down_until:
                raise UnclearError
            answer = do()
            if is_unheard:
                raise UnclearError
        except (UnclearError, LeaseLostError, OutOfOrderError, FaultError) as error:
            told = partial(failed, error)
        else:
            told = partial(then, answer)
        self._world.after(self._world.delay(), partial(caller.receive, told))

    # What is asked.

    def commit(self, request: execution.CommitRequest) -> execution.CommitResponse:
        """Record a commit, unless something in it can not be stored."""
        world = self._world
        if world.now < world.faults.until and not all(map(self._can_store, request.changes)):
            raise FaultError
        response = self.database.commit(request)
        world.checker.committed(request, response)
        if not response.verdicts:
            # It comes so late that its number was made void.
            return response
        for change, verdict in zip(request.changes, response.verdicts, strict=True):
            end = change.defer if change.HasField("defer") else change.finish
            if end.task_id:
                outcome = Attempt.Outcome.Name(end.outcome).removeprefix("OUTCOME_").lower()
                code = Verdict.Code.Name(verdict.code).removeprefix("CODE_").lower()
                told = f"{end.task_id}/{end.epoch} {outcome}: {code}"
                world.note(request.scheduler_id, told)
        if world.happens(world.faults.answer_breaks, "commits that were stored, and a fault told"):
            raise FaultError
        return response

    def void(self, scheduler_id: str, number: int) -> execution.CommitResponse:
        """Give the outcome of a commit, or see to it that it never is stored."""
        request = execution.CommitRequest(scheduler_id=scheduler_id, number=number)
        response = self.database.commit(request)
        self._world.checker.committed(request, response)
        return response

    def _can_store(self, change: execution.Change) -> bool:
        """Say whether a change can be stored; what can not be, can not for long."""
        kind = change.WhichOneof("change") or ""
        inner = getattr(change, kind)
        about = (kind, getattr(inner, "task_id", "") or inner.operation_id)
        if about not in self._storable:
            self._storable[about] = not self._world.happens(
                self._world.faults.unstorable, "decisions that could not be stored"
            )
        return self._storable[about]

    def claim(self, scheduler_id: str, known: set[str]) -> execution.ClaimResponse:
        """Give operations that nobody owns."""
        response = self.database.claim(scheduler_id, known)
        self._world.checker.claimed(scheduler_id, response)
        return response

    def renew(self, sessions: list[str]) -> list[str]:
        """Renew leases of engine sessions; gives those that are over."""
        return [each for each in sessions if not self.database.renew_session(each)]

    def schedulers(self) -> list[str]:
        """List those that have a living lease."""
        owners = self.database.owners.items()
        return [
            each
            for each, owner in owners
            if not owner.lost and owner.lease_until >= self.database.now
        ]


def _unheard(_: object) -> None:
    """Hear an answer that nobody waits for any more."""
