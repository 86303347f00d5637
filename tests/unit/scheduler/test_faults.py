"""Commits that the conductor can not store: one operation fails, all others go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import serving
from tests.unit.scheduler import bad_line
from tests.unit.scheduler.scripted_engine import ScriptedEngine
from tests.unit.scheduler.stage import Engine, Stage, step
from tests.unit.scheduler.test_service import read

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor
    from tests.unit.scheduler.conftest import Place

Operation = operation_pb2.Operation
POISON = b"poison"


def stage_of(*operations: str) -> tuple[Stage, Engine]:
    """Begin operations, each with two tasks, of which one is in the hands of the engine."""
    stage = Stage()
    engine = stage.engine(slots={"plan": 16, "ssh": 64})
    for each in operations:
        stage.database.create(each)
        stage.claim()
        engine.succeed("plan/1", spawn=[step(f"a-{each}"), step(f"b-{each}", f"a-{each}")])
    return stage, engine


def test_the_operation_whose_result_can_not_be_stored_fails_alone() -> None:
    names = [f"op{number}" for number in range(5)]
    stage, engine = stage_of(*names)
    stage.chokes_on, stage.holds_commits = POISON, True
    for name in names:
        engine.succeed(f"a-{name}", facts=POISON if name == "op3" else b"")
    stage.go_on()
    assert not stage.abandoned
    assert stage.outcome("op3") == "FAILED"
    failure = stage.database.operations["op3"].message.failure
    assert (failure.reason, failure.task_key) == ("NOT_STORED", "a-op3")
    assert "'a-op3' could not be stored: a fault" in failure.message
    assert {key for key in engine.running if key != "b-op3"} == {
        f"b-{name}" for name in names if name != "op3"
    }
    assert ("op3:a-op3", 1) in engine.acknowledged
    assert stage.choked <= 6, "it did not cut in halves"


@pytest.mark.parametrize("kind", ["spawn", "defer", "finish", "conclusion"])
def test_whatever_can_not_be_stored_what_still_runs_is_stopped_first(kind: str) -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    stage.chokes_on = POISON
    if kind == "defer":
        failure = operation_pb2.Failure(reason="poison", message="poison", retryable=True)
        engine.answer("a", stream.Result(failed=failure))
    elif kind == "finish":
        engine.succeed("a", facts=POISON)
    else:
        engine.fail("a")
        if kind == "spawn":
            engine.succeed("plan/2", spawn=[step("poison")])
        else:
            engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED, facts=POISON)
    if kind != "conclusion":
        # That one waits until nothing else runs before it is stored at all.
        assert stage.outcome() == "PENDING"
    assert engine.stopped == ["b"]
    engine.stop("b")
    assert stage.outcome() == "FAILED"
    assert stage.core.operations == {}
    assert stage.core.sessions.get("e1").holds == {}  # type: ignore[union-attr]  # it is connected


def test_an_engine_whose_loss_can_not_be_stored_is_asked_after_with_growing_pauses() -> None:
    stage, engine = stage_of("op", "other")
    lost = stage.database.task("a-op").id.encode()
    stage.chokes_on = lost
    engine.disconnect()
    stage.wait(60.0)
    assert not stage.abandoned
    assert stage.choked < 30, "it spins"
    assert stage.state("a-other", "other") == "PENDING", "the other waits for the one at fault"
    stage.chokes_on = b""
    stage.wait(60.0)
    assert stage.outcome("op") == "FAILED"


def test_an_end_that_can_not_be_stored_either_is_tried_again_with_growing_pauses() -> None:
    stage, engine = stage_of("op", "other")
    stage.chokes_on = b"op"
    engine.succeed("a-op")
    stage.wait(600.0, engine)
    assert (stage.outcome("op"), stage.abandoned) == ("PENDING", "")
    assert stage.choked < 30, "it spins"
    stage.chokes_on = b""
    stage.wait(400.0, engine)
    assert stage.outcome("op") == "FAILED"
    assert ("op:a-op", 1) in engine.acknowledged


async def test_a_fault_of_the_conductor_ends_one_operation_and_no_scheduler(
    place: Place, conductor: Conductor
) -> None:
    parts, line = bad_line.build(place.address("line"), place.conductor_address)
    line.chokes_on = POISON
    bad = (await conductor.create("c1")).operation.id
    engine = ScriptedEngine()
    async with (
        serving.running([parts]),
        place.scheduler("s1", place.address("line")),
        engine.connected(place.address("s1")),
    ):
        await engine.succeed("plan/1", spawn=[step("a")])
        await engine.get("a")
        good = (await conductor.create("c2")).operation.id
        await engine.succeed("plan/1", spawn=[step("b")])
        # Acknowledged only when the operation has ended, for its result is stored nowhere.
        await engine.succeed("a", spawn=[step("poison")])
        await engine.succeed("b")
        await engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
        assert engine.runs == ["plan/1", "a", "plan/1", "b", "plan/2"], "it began anew"
    failed = (await read(conductor, bad)).operation
    assert (failed.state, failed.failure.reason) == (Operation.STATE_FAILED, "NOT_STORED")
    assert "look for 4711 in the log" in failed.failure.message
    assert (await read(conductor, good)).operation.state == Operation.STATE_SUCCEEDED
    assert line.choked == 2


async def test_a_fault_after_the_commit_was_stored_loses_nothing_and_blames_nobody(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    parts, line = bad_line.build(place.address("line"), place.conductor_address)
    line.breaks_after = 2
    engine = ScriptedEngine()
    async with (
        serving.running([parts]),
        place.scheduler("s1", place.address("line")),
        engine.connected(place.address("s1")),
    ):
        await engine.succeed("plan/1", spawn=[step("a")])
        await engine.succeed("a")
        await engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    assert line.lost == 1
    history = await read(conductor, operation_id)
    assert history.operation.state == Operation.STATE_SUCCEEDED
    assert all(len(each.attempts) == 1 for each in history.tasks)
