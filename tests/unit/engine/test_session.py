from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna_engine.core import KEEP_SECONDS
from savanna_engine.runner import Runner
from savanna_engine.session import Session
from savanna_kit.clock import ManualClock
from tests.unit.engine.attempts import Hands, assignment, ref, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.scheduler.v1 import scheduler_service_pb2 as stream


class Scheduler:
    """Hears what a session tells."""

    def __init__(self) -> None:
        self.heard: list[stream.ConnectRequest] = []

    def __call__(self, message: stream.ConnectRequest) -> None:
        self.heard.append(message)

    def results(self) -> list[tuple[str, int, str]]:
        return [
            (each.attempt.task_id, each.attempt.epoch, each.WhichOneof("outcome") or "")
            for message in self.heard
            for each in message.done.results
        ]

    def refusals(self) -> list[tuple[str, int, str]]:
        return [
            (message.refused.attempt.task_id, message.refused.attempt.epoch, message.refused.reason)
            for message in self.heard
            if message.HasField("refused")
        ]

    def accepted(self) -> list[str]:
        return [each.task_id for message in self.heard for each in message.accepted.attempts]


class Stage:
    """A session with hands, a clock that a test moves, and one scheduler."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.hands = Hands()
        self.scheduler = Scheduler()
        self.session = Session(self.hands.runner, self.clock)
        self.session.attach(self.scheduler)
        self.session.fence_after(4.0)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    made = Stage()
    yield made
    made.hands.may_stop.set()
    made.session.end()
    await settle()


async def test_an_attempt_is_accepted_done_and_told(stage: Stage) -> None:
    stage.session.begin([assignment()])
    await settle()
    assert stage.scheduler.accepted() == ["t1"]
    assert stage.session.running() == [ref()]

    stage.hands.may_end.set()
    await settle()

    assert stage.scheduler.results() == [("t1", 1, "succeeded")]


async def test_a_result_is_sent_again_until_it_is_acknowledged(stage: Stage) -> None:
    watch = asyncio.create_task(stage.session.watch())
    stage.hands.may_end.set()
    stage.session.begin([assignment()])
    await settle()

    stage.clock.advance(1.1)
    await asyncio.sleep(0.15)
    assert stage.scheduler.results() == [("t1", 1, "succeeded")] * 2
    assert stage.session.running() == [ref()]

    stage.session.acknowledge([ref()])
    stage.clock.advance(1.1)
    await asyncio.sleep(0.15)
    assert len(stage.scheduler.results()) == 2
    assert stage.session.running() == []
    watch.cancel()


async def test_a_new_scheduler_is_told_what_is_owed(stage: Stage) -> None:
    stage.hands.may_end.set()
    stage.session.detach(stage.scheduler)
    stage.session.begin([assignment()])
    await settle()
    other = Scheduler()

    stage.session.attach(other)

    assert other.results() == [("t1", 1, "succeeded")]


async def test_a_result_that_nobody_wants_is_forgotten_at_last(stage: Stage) -> None:
    stage.session.fence_after(10 * KEEP_SECONDS)
    watch = asyncio.create_task(stage.session.watch())
    stage.hands.may_end.set()
    stage.session.begin([assignment()])
    await settle()

    stage.clock.advance(KEEP_SECONDS + 1)
    await asyncio.sleep(0.15)

    assert stage.session.running() == []
    watch.cancel()


async def test_a_known_assignment_is_not_begun_twice(stage: Stage) -> None:
    stage.session.begin([assignment(), assignment()])
    await settle()
    stage.session.begin([assignment()])
    await settle()
    stage.hands.may_end.set()
    await settle()
    stage.session.begin([assignment()])
    await settle()

    assert stage.hands.noted == ["begun t1/1", "done t1/1"]


async def test_a_higher_epoch_takes_the_place_of_the_older_once_that_has_stopped(
    stage: Stage,
) -> None:
    stage.hands.may_stop.clear()
    stage.session.begin([assignment(epoch=1)])
    await settle()
    stage.session.begin([assignment(epoch=2)])
    await settle()
    assert stage.hands.noted == ["begun t1/1"]

    stage.hands.may_stop.set()
    await settle()
    assert stage.hands.noted == ["begun t1/1", "stopped t1/1", "begun t1/2"]
    assert stage.session.running() == [ref(epoch=2)]

    stage.hands.may_end.set()
    await settle()
    assert stage.scheduler.results() == [("t1", 2, "succeeded")]


async def test_the_third_in_a_row_waits_for_the_first_too(stage: Stage) -> None:
    stage.hands.may_stop.clear()
    for epoch in (1, 2, 3):
        stage.session.begin([assignment(epoch=epoch)])
        await settle()
    assert stage.hands.noted == ["begun t1/1"]

    stage.hands.may_stop.set()
    await settle()

    assert stage.hands.noted == ["begun t1/1", "stopped t1/1", "begun t1/3"]


async def test_what_has_ended_is_not_begun_again_when_its_offer_comes_late(stage: Stage) -> None:
    stage.hands.may_end.set()
    stage.session.begin([assignment(epoch=2)])
    await settle()
    stage.session.acknowledge([ref(epoch=2)])

    stage.session.begin([assignment(epoch=2), assignment(epoch=1)])
    await settle()

    assert stage.hands.noted == ["begun t1/2", "done t1/2"]
    assert stage.scheduler.refusals() == [("t1", 2, "STALE_OFFER"), ("t1", 1, "STALE_OFFER")]


async def test_what_was_stopped_before_it_came_is_not_begun_when_that_is_stored(
    stage: Stage,
) -> None:
    stage.session.cancel([ref("lost", 3)])
    stage.session.acknowledge([ref("lost", 3)])

    stage.session.begin([assignment("lost", 3)])
    await settle()

    assert stage.hands.noted == []


async def test_an_older_epoch_is_not_begun_beside_a_newer(stage: Stage) -> None:
    stage.session.begin([assignment(epoch=2)])
    stage.session.begin([assignment(epoch=1)])
    await settle()

    assert stage.hands.noted == ["begun t1/2"]


async def test_a_cancel_stops_and_answers(stage: Stage) -> None:
    stage.session.begin([assignment()])
    await settle()

    stage.session.cancel([ref()])
    await settle()

    assert stage.hands.noted == ["begun t1/1", "stopped t1/1"]
    assert stage.scheduler.results() == [("t1", 1, "cancelled")]


async def test_a_cancel_that_comes_with_the_offer_answers_too(stage: Stage) -> None:
    stage.session.begin([assignment()])
    stage.session.cancel([ref()])
    await settle()

    assert stage.hands.noted == []
    assert stage.scheduler.results() == [("t1", 1, "cancelled")]
    assert stage.session.running() == [ref()]  # Owed until it is acknowledged.


async def test_a_second_cancel_does_not_cut_the_stopping_short(stage: Stage) -> None:
    stage.hands.may_stop.clear()
    stage.session.begin([assignment()])
    await settle()

    stage.session.cancel([ref()])
    await settle()
    stage.session.cancel([ref()])
    await settle()
    assert stage.scheduler.results() == []

    stage.hands.may_stop.set()
    await settle()
    assert stage.scheduler.results() == [("t1", 1, "cancelled")]


async def test_a_cancel_of_what_never_came_answers_and_keeps_it_from_beginning(
    stage: Stage,
) -> None:
    stage.session.cancel([ref("lost", 3)])
    stage.session.begin([assignment("lost", 3)])
    await settle()

    assert stage.scheduler.results() == [("lost", 3, "cancelled")]
    assert stage.hands.noted == []


async def test_what_belongs_to_nobody_is_stopped_without_a_result(stage: Stage) -> None:
    stage.session.begin([assignment()])
    await settle()

    stage.session.drop([ref()])
    await settle()

    assert stage.hands.noted == ["begun t1/1", "stopped t1/1"]
    assert stage.scheduler.results() == []
    assert stage.session.running() == []


async def test_a_session_that_is_not_heard_stops_all_before_its_fence_is_long_over(
    stage: Stage,
) -> None:
    watch = asyncio.create_task(stage.session.watch())
    stage.session.begin([assignment("a"), assignment("b")])
    await settle()

    stage.clock.advance(4.1)
    await asyncio.wait_for(watch, 1)
    await settle()

    assert sorted(stage.hands.noted[2:]) == ["stopped a/1", "stopped b/1"]
    assert stage.scheduler.results() == []
    stage.session.begin([assignment("c")])
    assert stage.scheduler.refusals() == [("c", 1, "FENCED")]


async def test_an_acknowledged_beat_counts_from_when_it_was_sent(stage: Stage) -> None:
    watch = asyncio.create_task(stage.session.watch())
    number = stage.session.next_beat().beat.number
    stage.clock.advance(3.0)

    stage.session.heard(number)
    stage.clock.advance(0.9)
    await asyncio.sleep(0.15)
    assert not watch.done()

    stage.clock.advance(0.2)
    await asyncio.wait_for(watch, 1)


async def test_a_greeting_counts_from_when_it_was_sent(stage: Stage) -> None:
    greeted = stage.session.now()
    stage.clock.advance(3.0)

    stage.session.fence_after(2.0, greeted)
    stage.session.begin([assignment()])

    assert stage.scheduler.refusals() == [("t1", 1, "FENCED")]


async def test_an_offer_that_comes_after_the_engine_slept_is_refused(stage: Stage) -> None:
    stage.clock.advance(60.0)

    stage.session.begin([assignment()])
    await settle()

    assert stage.scheduler.refusals() == [("t1", 1, "FENCED")]
    assert stage.hands.noted == []


async def test_a_session_that_refused_as_fenced_does_not_come_back(stage: Stage) -> None:
    stage.session.begin([assignment("a")])
    await settle()
    number = stage.session.next_beat().beat.number
    stage.clock.advance(3.9)
    late = stage.session.next_beat().beat.number
    stage.clock.advance(0.2)

    stage.session.begin([assignment("b")])
    stage.session.heard(number)
    stage.session.heard(late)
    stage.session.begin([assignment("c")])
    await settle()

    assert stage.session.is_over
    assert stage.scheduler.refusals() == [("b", 1, "FENCED"), ("c", 1, "FENCED")]
    assert stage.hands.noted == ["begun a/1", "stopped a/1"]


async def test_an_offer_that_waited_too_long_for_its_place_is_stale(stage: Stage) -> None:
    stage.hands.may_stop.clear()
    stage.session.begin([assignment(epoch=1)])
    await settle()
    stage.session.begin([assignment(epoch=2, offer_ttl=3.0)])
    await settle()

    stage.clock.advance(3.5)
    stage.hands.may_stop.set()
    await settle()

    assert stage.scheduler.refusals() == [("t1", 2, "STALE_OFFER")]
    assert stage.scheduler.accepted() == ["t1"]
    assert stage.hands.noted == ["begun t1/1", "stopped t1/1"]
    assert stage.session.running() == []


async def test_a_session_that_leaves_ends_what_it_has_and_takes_nothing_more(
    stage: Stage,
) -> None:
    stage.session.begin([assignment("a")])
    await settle()
    stage.session.leave()
    stage.session.begin([assignment("b")])
    assert stage.scheduler.refusals() == [("b", 1, "DRAINING")]

    stage.hands.may_end.set()
    await settle()
    stage.session.acknowledge([ref("a")])

    await asyncio.wait_for(stage.session.idle(), 1)


async def test_a_kind_that_is_not_known_here_is_refused(stage: Stage) -> None:
    stage.session.begin([assignment(kind="dance")])

    assert stage.scheduler.refusals() == [("t1", 1, "UNKNOWN_KIND")]


class BrokenRunner(Runner):
    """A runner that is at fault itself."""

    async def attempt(self, assignment: stream.Assignment) -> stream.Result:
        raise ZeroDivisionError(assignment.key)


async def test_an_attempt_that_breaks_the_runner_still_has_a_result(stage: Stage) -> None:
    runner = BrokenRunner({"work": stage.hands.work}, stage.hands.interrupt)
    session = Session(runner, stage.clock)
    session.attach(stage.scheduler)

    session.begin([assignment()])
    await settle()

    assert stage.scheduler.results() == [("t1", 1, "failed")]
