"""Cancels: what waits is skipped, what runs is stopped, then the plan leads to the end."""

from __future__ import annotations

from savanna.operation.v1 import operation_pb2
from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Stage, step

Operation = operation_pb2.Operation


def cancel(stage: Stage) -> None:
    stage.database.request_cancel("op")
    stage.claim()


def acknowledged(stage: Stage) -> bool:
    return stage.database.operations["op"].message.cancel_acknowledged


def test_a_cancel_skips_what_waits_stops_what_runs_and_plans_when_all_is_quiet() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"), step("c", "a"))
    cancel(stage)
    assert stage.state("c") == "SKIPPED"
    assert sorted(engine.stopped) == ["a", "b"]
    engine.stop("a")
    assert "plan/2" not in engine.running
    assert not acknowledged(stage)
    engine.succeed("b")
    assert "plan/2" in engine.running
    assert acknowledged(stage)
    engine.succeed("plan/2", spawn=[step("undo")])
    assert "undo" in engine.running
    engine.succeed("undo")
    engine.succeed("plan/3", end=Operation.STATE_CANCELLED)
    assert stage.outcome() == "CANCELLED"


def test_a_plan_that_runs_is_stopped_and_what_it_asks_for_is_not_done() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    cancel(stage)
    assert engine.stopped == ["plan/1"]
    engine.succeed("plan/1", spawn=[step("late")])
    assert ("op", "late") not in stage.database.by_key
    assert list(engine.running) == ["plan/2"]


def test_tasks_that_are_being_stored_when_the_cancel_comes_are_skipped() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    stage.holds_commits = True
    engine.succeed("plan/1", spawn=[step("a"), step("b", "a")])
    cancel(stage)
    stage.go_on()
    assert [stage.state(key) for key in "ab"] == ["SKIPPED", "SKIPPED"]
    assert list(engine.running) == ["plan/2"]


def test_a_task_whose_hand_out_is_being_recorded_never_begins() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.holds_commits = True
    engine.succeed("a")
    cancel(stage)
    stage.go_on()
    assert stage.state("b") == "SKIPPED"
    assert "b" not in [each.key for each in engine.runs]
    assert list(engine.running) == ["plan/2"]


def test_a_refused_or_failed_or_waiting_attempt_is_not_tried_again_once_unwanted() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"), step("c"), step("d"))
    cancel(stage)
    engine.refuse("a", "DRAINING")
    engine.fail("b", retryable=True)
    engine.not_yet("c", 1.0)
    engine.succeed("d")
    assert [stage.state(key) for key in "abcd"] == ["SKIPPED"] * 3 + ["SUCCEEDED"]
    assert "plan/2" in stage.engine("e2").running


def test_an_unwanted_task_of_a_lost_engine_is_skipped() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    cancel(stage)
    engine.disconnect()
    other = stage.engine("e2")
    stage.wait(8.0, other)
    assert stage.state("a") == "SKIPPED"
    assert "plan/2" in other.running


def test_a_cancel_is_said_again_to_an_engine_that_comes_back() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.disconnect()
    cancel(stage)
    assert engine.stopped == []
    engine.hello()
    assert engine.stopped == ["a"]


def test_the_plan_towards_the_end_starts_when_a_task_that_ran_is_put_back() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    cancel(stage)
    engine.stop("a")
    engine.succeed("plan/2", spawn=[step("undo"), step("bad")])
    engine.fail("bad")
    assert "plan/3" not in engine.running
    engine.not_yet("undo", 60.0)
    assert "plan/3" in engine.running


def test_a_cancel_that_comes_while_the_end_is_recorded_changes_nothing() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.succeed("a")
    stage.holds_commits = True
    engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    stage.tell(events.CancelRequested("op"))
    stage.go_on()
    assert stage.outcome() == "SUCCEEDED"
    assert not stage.abandoned


def test_a_takeover_before_the_plan_towards_the_end_acts_on_the_cancel_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    cancel(stage)
    stage.database.release("s1")
    heir = Stage(stage.database, scheduler_id="s2")
    heir.claim()
    engine.stage, engine.stopped = heir, []
    engine.hello()
    assert engine.stopped == ["a"]
    engine.stop("a")
    assert [key for key in engine.running if key.startswith("plan")] == ["plan/3"]


def test_a_takeover_during_the_way_back_goes_on_with_it() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    cancel(stage)
    engine.stop("a")
    engine.succeed("plan/2", spawn=[step("undo"), step("after", "undo")])
    stage.database.release("s1")
    heir = Stage(stage.database, scheduler_id="s2")
    heir.claim()
    engine.stage, engine.stopped = heir, []
    engine.hello()
    assert engine.stopped == []
    engine.succeed("undo")
    assert "after" in engine.running
