"""Takeovers: another scheduler goes on where the last commit was."""

from __future__ import annotations

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from tests.unit.scheduler.stage import Engine, Stage, step

Operation = operation_pb2.Operation


def take_over(stage: Stage, *before: Engine) -> Stage:
    """Replace the scheduler; the engines given met the heir before it owned anything."""
    heir = Stage(stage.database, scheduler_id="s2")
    for engine in before:
        engine.stage = heir
        engine.hello()
    stage.database.release(stage.id)
    heir.claim()
    return heir


def test_running_tasks_are_adopted_and_not_begun_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    heir = take_over(stage)
    engine.stage = heir
    engine.hello()
    heir.wait(10.0, engine)
    assert [each.key for each in engine.runs].count("a") == 1
    engine.succeed("a")
    assert heir.state("a") == "SUCCEEDED"
    assert "b" in engine.running


def test_an_engine_that_was_connected_before_is_told_what_the_former_owner_had_no_time_to() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.holds_commits = True
    engine.succeed("a")
    stage.store()  # The scheduler dies here: its engine never hears of "b".
    heir = take_over(stage, engine)
    assert "b" in engine.running
    engine.succeed("b")
    assert heir.state("b") == "SUCCEEDED"


def test_tasks_of_an_engine_that_never_comes_are_taken_back_after_the_rest_of_its_lease() -> None:
    stage = Stage()
    stage.begin(step("a"))
    stage.wait(2.0)
    heir = take_over(stage)
    other = Engine(heir, "e2", {"ssh": 2})
    other.hello()
    heir.wait(3.9, other)
    assert other.running == {}
    heir.wait(0.7, other)
    assert "a" in other.running


def test_tasks_of_a_session_that_is_over_already_are_taken_back_at_once() -> None:
    stage = Stage()
    stage.begin(step("a"))
    stage.database.now += 30.0
    stage.database.renew_scheduler("s1")
    heir = take_over(stage)
    other = Engine(heir, "e2", {"ssh": 2})
    other.hello()
    heir.wait(0.1, other)
    assert "a" in other.running


def test_results_that_were_not_acknowledged_are_taken_by_the_heir() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    stage.holds_commits = True
    kept = dict(engine.running)
    engine.succeed("a")
    heir = take_over(stage)
    engine.stage, engine.running = heir, kept
    engine.hello()
    engine.succeed("a")
    assert heir.state("a") == "SUCCEEDED"
    assert ("op:a", 1) in engine.acknowledged


def test_an_owner_that_is_late_does_not_acknowledge_results_of_newer_attempts() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.refuse("a", "STALE_OFFER")
    stage.holds_commits = True
    heir = take_over(stage)
    engine.stage = heir
    engine.hello()
    heir.wait(0.2, engine)
    assert engine.running["a"].attempt.epoch == 2
    engine.acknowledged.clear()
    engine.stage = stage  # It is still connected to both.
    result = stream.Result(attempt=engine.running["a"].attempt, succeeded=stream.Succeeded())
    for _ in range(2):
        engine.say(result)
    assert engine.acknowledged == []


def test_waiting_times_and_patience_survive() -> None:
    stage = Stage()
    spec = step("a")
    spec.patience.FromSeconds(5)
    engine = stage.begin(spec)
    engine.not_yet("a", 1.0)
    stage.database.task("a").waiting_since_time.FromSeconds(0)
    stage.database.task("a").not_before_time.FromSeconds(4)
    heir = take_over(stage)
    engine.stage = heir
    engine.hello()
    heir.wait(3.9, engine)
    assert "a" not in engine.running
    heir.wait(0.2, engine)
    assert "a" in engine.running
    heir.wait(2.0, engine)
    engine.not_yet("a", 1.0)
    assert heir.state("a") == "FAILED"


def test_what_a_dead_owner_left_undone_is_done() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.database.task("a").state = operation_pb2.Task.STATE_FAILED
    heir = take_over(stage)
    engine.stage, engine.running = heir, {}
    engine.hello(running=[])
    assert heir.state("b") == "SKIPPED"
    assert "plan/2" in engine.running


def test_an_operation_with_nothing_left_is_planned() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    stage.database.task("a").state = operation_pb2.Task.STATE_SUCCEEDED
    heir = take_over(stage)
    engine.stage, engine.running = heir, {}
    engine.hello(running=[])
    engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    assert heir.outcome() == "SUCCEEDED"
