"""Each part that is left out, and each rule that is broken, is found in a few seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine.core import Command, SessionCore, Tell
from savanna_scheduler.core import events
from savanna_scheduler.core.scheduler import SchedulerCore
from tests.simulation.faults import Faults
from tests.simulation.simulate import simulate

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import TaskNode

SEEDS = 150
Verdict = execution.Verdict


class AcknowledgesTooSoon(SchedulerCore):
    """Acknowledges results when they arrive."""

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        early: list[events.Command] = []
        if isinstance(event, events.Done):
            ack = stream.DoneAck(attempts=[each.attempt for each in event.results])
            message = stream.ConnectResponse(done_ack=ack)
            early.append(events.Send(event.session_id, message))
        return early + super().handle(event, now)


class HandsOutTooSoon(SchedulerCore):
    """Sends assignments while they are being recorded."""

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        commands = super().handle(event, now)
        early = []
        for commit in commands:
            if isinstance(commit, events.Commit):
                for change in commit.changes:
                    if change.HasField("assign"):
                        given = change.assign
                        ref = stream.AttemptRef(task_id=given.task_id, epoch=given.epoch)
                        run = stream.Run(assignments=[stream.Assignment(attempt=ref, kind="run")])
                        message = stream.ConnectResponse(run=run)
                        early.append(events.Send(given.session_id, message))
        return [*early, *commands]


class IgnoresEpochs(SchedulerCore):
    """Takes results of any attempt for the newest."""

    def _held(self, session_id: str, task_id: str, epoch: int) -> TaskNode | None:
        node = self.tasks.get(task_id)
        return super()._held(node.session_id, task_id, node.epoch) if node is not None else None


class TakesSilenceForConsent(SchedulerCore):
    """Believes that a commit without an answer was stored."""

    def _commit_unknown(self, event: events.CommitUnknown) -> None:
        commit = self._ledger.same_commit(event.number)
        if commit is not None:
            applied = [Verdict(code=Verdict.CODE_APPLIED)] * len(commit.changes)
            self._committed(events.Committed(event.number, applied))


class NeverFences(SessionCore):
    """Goes on however long nobody heard it."""

    def _is_fenced(self, now: float) -> bool:
        return False


class SaysResultsOnce(SessionCore):
    """Forgets a result when it is said."""

    def _owe(self, result: stream.Result, now: float) -> Command:
        self._note_past(result.attempt)
        return Tell(stream.ConnectRequest(done=stream.Done(results=[result])))


class ForgetsWhatEnded(SessionCore):
    """Begins an attempt again when its offer comes late."""

    def _note_past(self, ref: stream.AttemptRef) -> None:
        pass


# Broken things, what is found, and worlds in which that happens often.
CASES = {
    "acknowledges before the commit": (
        Faults(scheduler_core=AcknowledgesTooSoon),
        "acknowledged before it was recorded",
    ),
    "hands out before the commit": (
        Faults(scheduler_core=HandsOutTooSoon),
        "handed out before that was recorded",
    ),
    "takes a commit without an answer for stored": (
        Faults(scheduler_core=TakesSilenceForConsent),
        "before",
    ),
    "checks no epochs": (
        Faults(scheduler_core=IgnoresEpochs, checks_epochs=False, said_twice=0.15, overtaken=0.15),
        "was recorded otherwise",
    ),
    "checks no lease of schedulers": (Faults(checks_owners=False), ""),
    "stores keys again": (Faults(keeps_keys=False), "stored twice"),
    "requeues without asking whether the session is over": (
        Faults(asks_sessions=False),
        "taken from an engine whose lease is not over",
    ),
    "acknowledges beats before the lease is renewed": (
        Faults(
            renews_before_it_says_so=False,
            long_steps=0.5,
            accidents={
                "schedulers without conductor": 1,
                "streams gone silent": 1,
                "conductor slow": 1,
            },
        ),
        "although its lease is over",
    ),
    "does not fence itself": (
        Faults(engine_core=NeverFences, long_steps=0.5, accidents={"engines cut off": 1}),
        "although its lease is over",
    ),
    "says results once": (Faults(engine_core=SaysResultsOnce), "was recorded otherwise"),
    "begins again what ended": (
        Faults(engine_core=ForgetsWhatEnded, said_twice=0.15, overtaken=0.15),
        "began twice",
    ),
    "guards no hosts": (Faults(guards_hosts=False, long_steps=0.5), "its host"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_broken_is_found(case: str) -> None:
    faults, expected = CASES[case]
    found = []
    for seed in range(SEEDS):
        if violation := simulate(seed, faults).violations.get(seed):
            if expected in violation:
                return
            # What is broken may break another promise too.
            found.append(violation)
    pytest.fail(f"in {SEEDS} seeds only this was found: {found}")
