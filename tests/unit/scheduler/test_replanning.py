"""Plans that are due before nothing else is left: after a step that says so, or after a time."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from tests.unit.scheduler.stage import Engine, Stage, step
from tests.unit.scheduler.test_takeover import take_over

Operation = operation_pb2.Operation


def plan_later(engine: Engine, key: str, seconds: int, *more: operation_pb2.TaskSpec) -> None:
    outcome = stream.Succeeded(spawn=more, replan_after=Duration(seconds=seconds))
    engine.answer(key, stream.Result(succeeded=outcome))


def begun(seconds: int) -> tuple[Stage, Engine]:
    """Begin an operation whose first plan wants to be asked again after a time."""
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    plan_later(engine, "plan/1", seconds, step("a"), step("b"))
    return stage, engine


def test_a_step_that_says_so_is_planned_upon_at_once() -> None:
    stage = Stage()
    engine = stage.begin(step("a", replan=True), step("b"))
    engine.succeed("a")
    assert {"plan/2", "b"} <= set(engine.running)


def test_several_such_steps_are_planned_upon_together() -> None:
    stage = Stage()
    engine = stage.begin(*(step(f"t{n}", replan=True) for n in range(5)), step("z"))
    for number in range(5):
        engine.succeed(f"t{number}")
    engine.succeed("plan/2")
    engine.succeed("plan/3")
    assert set(engine.running) == {"z"}


def test_a_plan_is_asked_again_after_the_time_that_it_gave() -> None:
    stage, engine = begun(20)
    stage.wait(19.9, engine)
    assert "plan/2" not in engine.running
    stage.wait(0.2, engine)
    assert "plan/2" in engine.running


def test_the_newest_wish_for_a_time_counts() -> None:
    stage, engine = begun(20)
    engine.fail("a")
    plan_later(engine, "plan/2", 60)
    stage.wait(59, engine)
    assert "plan/3" not in engine.running
    stage.wait(2, engine)
    assert "plan/3" in engine.running


def test_a_time_that_comes_after_the_end_changes_nothing() -> None:
    stage, engine = begun(20)
    engine.succeed("a")
    engine.succeed("b")
    engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    stage.wait(30, engine)
    assert stage.outcome() == "SUCCEEDED"
    assert engine.running == {}


def test_whoever_takes_over_plans_at_once() -> None:
    stage, engine = begun(3600)
    heir = take_over(stage, engine)
    assert "plan/2" in engine.running
    plan_later(engine, "plan/2", 5)
    heir.wait(6, engine)
    assert "plan/3" in engine.running
