"""The simulation finds nothing in the real core, and finds what is broken on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.scheduler import SchedulerCore
from tests.unit.scheduler.simulation import BrokenPromiseError, Faults, simulate

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import TaskNode

SEEDS = 100


class AcknowledgesTooSoon(SchedulerCore):
    """Acknowledges results when they arrive."""

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        early: list[events.Command] = []
        if isinstance(event, events.Done):
            ack = stream.DoneAck(attempts=[each.attempt for each in event.results])
            message = stream.ConnectResponse(done_ack=ack)
            early.append(events.Send(event.session_id, message))
        return early + super().handle(event, now)


class IgnoresEpochs(SchedulerCore):
    """Takes results of any attempt for the newest."""

    def _held(self, session_id: str, task_id: str, epoch: int) -> TaskNode | None:
        node = self.tasks.get(task_id)
        return super()._held(node.session_id, task_id, node.epoch) if node is not None else None


class HandsOutTooSoon(SchedulerCore):
    """Sends assignments while they are being recorded."""

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        commands = super().handle(event, now)
        early = []
        for commit in commands:
            if isinstance(commit, events.Commit):
                for change in commit.changes:
                    if change.HasField("assign"):
                        ref = stream.AttemptRef(
                            task_id=change.assign.task_id, epoch=change.assign.epoch
                        )
                        run = stream.Run(assignments=[stream.Assignment(attempt=ref, kind="run")])
                        message = stream.ConnectResponse(run=run)
                        early.append(events.Send(change.assign.session_id, message))
        return [*early, *commands]


def find(faults: Faults, seeds: int = 300) -> str:
    """Give the first promise that is broken; empty when none is."""
    for seed in range(seeds):
        try:
            simulate(seed, faults)
        except BrokenPromiseError as broken:
            return str(broken)
    return ""


def test_every_promise_holds_whatever_happens() -> None:
    for seed in range(SEEDS):
        try:
            simulate(seed)
        except AssertionError as broken:
            pytest.fail(f"seed {seed}: {broken!r}")


def test_a_seed_gives_the_same_history_each_time() -> None:
    assert simulate(7) == simulate(7)


def test_acknowledging_before_the_commit_is_found() -> None:
    assert "acknowledged before" in find(Faults(core=AcknowledgesTooSoon))


def test_handing_out_before_the_commit_is_found() -> None:
    assert "handed out before" in find(Faults(core=HandsOutTooSoon))


def test_results_without_epochs_are_found() -> None:
    assert find(Faults(core=IgnoresEpochs, checks_epochs=False))


def test_engines_that_do_not_fence_themselves_are_found() -> None:
    assert "on two engines at once" in find(Faults(self_fence=False))
