"""Results: success, retries, "not yet", refused facts, late and double answers."""

from __future__ import annotations

import pytest

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from tests.unit.scheduler.database import INVALID_FACTS
from tests.unit.scheduler.stage import Stage, step

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation


def test_a_failure_that_may_pass_is_tried_again_after_a_growing_wait() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    waits = []
    for _ in range(2):
        engine.fail("a", retryable=True)
        begin = stage.now
        while "a" not in engine.running:
            stage.wait(0.05, engine)
        waits.append(stage.now - begin)
    assert 0.5 <= waits[0] <= 1.1
    assert 1.0 <= waits[1] <= 2.1
    assert engine.runs[-1].number == 3
    engine.fail("a", retryable=True)
    assert stage.state("a") == "FAILED"


def test_the_number_of_tries_is_the_tasks_own() -> None:
    stage = Stage()
    retry = operation_pb2.RetryPolicy(max_attempts=1)
    engine = stage.begin(step("a", retry=retry))
    engine.fail("a", retryable=True)
    assert stage.state("a") == "FAILED"


def test_a_failure_for_good_is_not_tried_again_and_a_plan_follows() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"), step("c", "b"), step("other"))
    engine.fail("a")
    assert [stage.state(key) for key in "abc"] == ["FAILED", "SKIPPED", "SKIPPED"]
    assert stage.database.task("a").failure.reason == "BROKEN"
    assert set(engine.running) == {"other", "plan/2"}


def test_not_yet_uses_up_no_try_and_waits_as_long_as_asked() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    for _ in range(5):
        engine.not_yet("a", 2.0)
        stage.wait(1.9, engine)
        assert engine.running == {}
        stage.wait(0.2, engine)
        assert "a" in engine.running
    assert stage.database.task("a").failed_attempts == 0
    assert engine.runs[-1].number == 1


def test_not_yet_without_a_time_does_not_spin() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.not_yet("a", 0.0)
    assert engine.running == {}
    stage.wait(0.1, engine)
    assert "a" in engine.running


def test_patience_ends() -> None:
    stage = Stage()
    spec = step("a")
    spec.patience.FromSeconds(3)
    engine = stage.begin(spec)
    for _ in range(4):
        engine.not_yet("a", 1.0)
        stage.wait(1.1, engine)
    assert stage.state("a") == "FAILED"
    assert stage.database.task("a").failure.reason == "TIMED_OUT"


def test_a_result_that_comes_twice_is_recorded_once_and_acknowledged_twice() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    result = stream.Result(attempt=engine.running.pop("a").attempt, succeeded=stream.Succeeded())
    stage.holds_commits = True
    engine.say(result)
    engine.say(result)
    stage.go_on()
    engine.say(result)
    assert stage.database.ends["op:a", 1] == [Attempt.OUTCOME_SUCCEEDED]
    assert engine.acknowledged.count(("op:a", 1)) == 2
    assert not stage.abandoned


def test_a_result_of_an_older_attempt_is_dropped() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    old = engine.running["a"].attempt
    engine.refuse("a", "STALE_OFFER")
    stage.wait(0.2, engine)
    assert engine.running["a"].attempt.epoch == 2
    engine.say(stream.Result(attempt=old, succeeded=stream.Succeeded()))
    assert stage.state("a") == "ASSIGNED"
    assert ("op:a", 1) in engine.acknowledged


def test_a_result_of_another_engine_is_dropped() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    other = stage.engine("e2")
    other.say(stream.Result(attempt=engine.running["a"].attempt, succeeded=stream.Succeeded()))
    assert stage.state("a") == "ASSIGNED"


def test_results_are_acknowledged_even_after_their_operation_is_over() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    ref = engine.running["a"].attempt
    engine.succeed("a")
    engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    engine.acknowledged.clear()
    engine.say(stream.Result(attempt=ref, succeeded=stream.Succeeded()))
    assert engine.acknowledged == [("op:a", 1)]


@pytest.mark.parametrize("outcome", ["succeeded", "not_yet"])
def test_facts_that_are_refused_end_the_operation_with_the_reason(outcome: str) -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    result = stream.Result(attempt=engine.running.pop("a").attempt)
    getattr(result, outcome).facts = INVALID_FACTS
    stage.holds_commits = True
    engine.say(result)
    stage.wait(1.0, engine)
    assert ("op:a", 1) not in engine.acknowledged
    stage.go_on()
    if "b" in engine.running:
        engine.stop("b")
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "FACTS_REFUSED"
    assert ("op:a", 1) in engine.acknowledged
    assert not stage.abandoned


def test_an_attempt_that_an_ending_engine_stopped_is_handed_out_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    other = stage.engine("e2")
    engine.stop("a")
    stage.wait(0.2, engine, other)
    assert "a" in other.running | engine.running
    assert stage.database.task("a").failed_attempts == 0
