"""What would never end, or is too large for any message, comes to a clear end."""

from __future__ import annotations

import pytest

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1.operation_pb2 import Operation
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.stage import Engine, Stage, step

MIB = 2**20


def test_a_kind_that_no_engine_knows_is_given_up_with_what_to_do() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("next", "a"))
    engine.refuse("a", "UNKNOWN_KIND")
    stage.wait(310.0, engine)
    task = stage.database.task("a")
    assert stage.state("a") == "FAILED"
    assert task.failure.reason == "UNKNOWN_KIND"
    assert "no engine knows" in task.failure.message
    assert "same version" in task.failure.message
    assert stage.state("next") == "SKIPPED"
    assert "plan/2" in engine.running, "the plan must know"


def test_a_kind_that_those_know_who_are_busy_is_waited_for() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), slots={"plan": 1, "ssh": 1})
    engine.refuse("a", "UNKNOWN_KIND")
    newer = stage.engine("newer", {"ssh": 1})
    stage.database.renew_scheduler(stage.id)
    stage.wait(2.0, engine, newer)
    newer.not_yet("a", 400.0)
    stage.wait(399.0, engine, newer)
    assert stage.state("a") == "PENDING"
    stage.wait(3.0, engine, newer)
    assert "a" in newer.running


def test_an_operation_that_nobody_can_plan_ends_with_the_reason() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    engine.refuse("plan/1", "UNKNOWN_KIND")
    stage.wait(310.0, engine)
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "UNKNOWN_KIND"


def test_plans_that_ask_for_more_and_more_steps_come_to_an_end() -> None:
    stage = Stage(policy=Policy(most_tasks=20))
    engine = stage.begin(step("t0"))
    number = 0
    while f"t{number}" in engine.running:
        engine.succeed(f"t{number}")
        number += 1
        if f"plan/{number + 1}" in engine.running:
            engine.succeed(f"plan/{number + 1}", spawn=[step(f"t{number}")])
    failure = stage.database.operations["op"].message.failure
    assert (stage.outcome(), failure.reason) == ("FAILED", "TOO_MANY_STEPS")
    assert "no more than 20 steps" in failure.message
    assert "savanna operation rollback op" in failure.message


@pytest.mark.parametrize(
    ("operation", "told"),
    [
        (Operation(goal=Operation.GOAL_LAUNCH), "'savanna operation rollback op' takes it back"),
        (Operation(goal=Operation.GOAL_SCALE), "'savanna operation retry op' goes on with it"),
        (
            Operation(goal=Operation.GOAL_DELETE),
            "'savanna operation retry op' removes what is left",
        ),
        (
            Operation(goal=Operation.GOAL_LAUNCH, rollback_of="other"),
            "'savanna operation retry op' removes what is left",
        ),
        (Operation(goal=Operation.GOAL_RUN_JOB), "Run the job again"),
    ],
)
def test_an_operation_whose_plan_fails_for_good_ends_with_what_to_do(
    operation: Operation, told: str
) -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.database.operations["op"].message.MergeFrom(operation)
    stage.claim()
    engine.fail("plan/1")
    failure = stage.database.operations["op"].message.failure
    assert (stage.outcome(), failure.reason) == ("FAILED", "BROKEN")
    assert failure.message.startswith("it broke. ")
    assert told in failure.message


def test_a_plan_of_too_many_steps_at_once_stores_none_of_them() -> None:
    stage = Stage(policy=Policy(most_tasks=20))
    stage.begin(*(step(f"t{n}") for n in range(20)))
    assert stage.outcome() == "FAILED"
    assert len(stage.database.tasks) == 1


def test_steps_of_too_many_bytes_come_to_an_end() -> None:
    stage = Stage(policy=Policy(most_bytes=MIB))
    engine = stage.begin(step("a", body=bytes(MIB // 2)))
    engine.succeed("a")
    engine.succeed("plan/2", spawn=[step("b", body=bytes(MIB // 2))])
    failure = stage.database.operations["op"].message.failure
    assert (stage.outcome(), failure.reason) == ("FAILED", "TOO_MANY_STEPS")
    assert "1 MiB" in failure.message


def test_what_runs_is_stopped_before_an_operation_without_end_ends() -> None:
    stage = Stage(policy=Policy(most_tasks=4))
    engine = stage.begin(step("a"), step("b"))
    engine.fail("a")
    engine.succeed("plan/2", spawn=[step("c"), step("d")])
    assert engine.stopped == ["b"]
    assert stage.outcome() != "FAILED"
    engine.stop("b")
    assert stage.outcome() == "FAILED"


def test_plans_without_end_come_to_one() -> None:
    stage = Stage(policy=Policy(most_plans=5))
    engine = stage.begin(*(step(f"t{n}") for n in range(10)), step("last"), slots=WIDE)
    for number in range(10):
        if stage.outcome() == "FAILED":
            break
        engine.fail(f"t{number}")
        if f"plan/{number + 2}" in engine.running:
            engine.succeed(f"plan/{number + 2}")
        elif "last" in engine.stopped:
            for key in list(engine.running):
                engine.stop(key)
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "TOO_MANY_STEPS"


WIDE = {"plan": 1, "ssh": 50}


@pytest.mark.parametrize("part", [200, 5])
def test_large_steps_are_stored_in_small_parts(part: int) -> None:
    stage = Stage(policy=Policy(spawn_part=part))
    engine: Engine = stage.begin(
        *(step(f"t{n}", body=bytes(3 * MIB)) for n in range(12)), slots=WIDE
    )
    largest = max(
        execution.CommitRequest(changes=each.changes).ByteSize() for each in stage.sent_commits
    )
    assert largest < 12 * MIB
    assert len(engine.running) == 12
