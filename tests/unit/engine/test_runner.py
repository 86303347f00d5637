from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.operation.v1.operation_pb2 import Failure, Operation, TaskSpec
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine.runner import Runner
from savanna_engine.steps.base import Done, Later, StepFailed
from savanna_kit import errors
from tests.unit.engine.attempts import Hands, assignment, settle

if TYPE_CHECKING:
    from savanna_engine.steps.base import Work


@pytest.fixture
def hands() -> Hands:
    made = Hands()
    made.may_end.set()
    return made


async def test_a_success_carries_all_that_a_plan_wants(hands: Hands) -> None:
    facts = Facts(node_group_counts={"b": 2, "a": 1})
    conclusion = stream.Conclusion(state=Operation.STATE_SUCCEEDED)
    hands.outcome = Done(facts, [TaskSpec(key="k")], conclusion, ["old"])

    result = await hands.runner.attempt(assignment())

    assert Facts.FromString(result.succeeded.facts) == facts
    assert [each.key for each in result.succeeded.spawn] == ["k"]
    assert result.succeeded.conclusion == conclusion
    assert list(result.succeeded.unwanted) == ["old"]


async def test_a_step_that_fails_gives_its_evidence(hands: Hands) -> None:
    failure = Failure(reason="COMMAND_FAILED", command="false", exit_code=1, output_tail="no")
    hands.outcome = StepFailed(failure)

    result = await hands.runner.attempt(assignment())

    assert result.failed == failure


async def test_a_step_that_breaks_is_a_result_that_names_it(hands: Hands) -> None:
    hands.outcome = ZeroDivisionError("oops")

    result = await hands.runner.attempt(assignment())

    assert (result.failed.reason, result.failed.retryable) == ("INTERNAL", True)
    assert "'key-of-t1' broke" in result.failed.message
    assert (result.failed.instance, result.failed.task_key) == ("c1-worker-0", "key-of-t1")


async def test_a_neighbour_that_is_away_uses_up_no_try(hands: Hands) -> None:
    hands.outcome = errors.Unavailable("the conductor does not answer")

    result = await hands.runner.attempt(assignment())

    assert result.WhichOneof("outcome") == "not_yet"
    assert result.not_yet.retry_after.ToMilliseconds() == 500


async def test_an_error_of_the_mesh_is_a_failure_with_its_reason(hands: Hands) -> None:
    hands.outcome = errors.NotFound("there is no cluster c1", reason="CLUSTER_NOT_FOUND")

    result = await hands.runner.attempt(assignment())

    assert (result.failed.reason, result.failed.message) == (
        "CLUSTER_NOT_FOUND",
        "there is no cluster c1",
    )


async def test_a_body_that_can_not_be_read_is_a_failure(hands: Hands) -> None:
    offered = assignment()
    offered.body = b"\xff\xff"

    result = await hands.runner.attempt(offered)

    assert result.failed.reason == "BODY_UNREADABLE"
    assert not result.failed.retryable
    assert hands.noted == []


async def test_looks_are_counted_until_the_step_succeeds() -> None:
    looks = []

    async def look(work: Work) -> Done | Later:
        looks.append(work.looks)
        return Done() if len(looks) == 3 else Later(0.2 * 2**work.looks)

    runner = Runner({"work": look}, Hands().interrupt)
    results = [await runner.attempt(assignment(epoch=epoch)) for epoch in (1, 2, 3, 4)]

    assert looks == [0, 1, 2, 0]
    assert results[1].not_yet.retry_after.ToMilliseconds() == 400


async def test_a_step_without_end_is_stopped_and_fails() -> None:
    hands = Hands()
    runner = Runner({"work": hands.work}, hands.interrupt, grace=0.02)

    result = await runner.attempt(assignment(timeout=0.02))

    assert (result.failed.reason, result.failed.retryable) == ("TIMED_OUT", True)
    assert hands.noted == ["begun t1/1", "stopped t1/1"]


async def test_a_host_that_can_not_be_told_to_stop_holds_nobody_up() -> None:
    hands = Hands()

    async def broken(work: Work) -> None:
        raise StepFailed(Failure(reason="NO_ADDRESS", message="gone"))

    running = asyncio.create_task(Runner({"work": hands.work}, broken).attempt(assignment()))
    await settle()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_result_that_no_message_holds_is_a_failure_that_says_so(hands: Hands) -> None:
    hands.outcome = Done(Facts(status_description="x" * 1000))
    runner = Runner({"work": hands.work}, hands.interrupt, most_bytes=1000)

    result = await runner.attempt(assignment())

    assert (result.failed.reason, result.failed.retryable) == ("RESULT_TOO_LARGE", False)
    assert "'key-of-t1' gave a result of 10" in result.failed.message
    assert (result.failed.instance, result.failed.task_key) == ("c1-worker-0", "key-of-t1")
