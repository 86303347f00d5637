"""What becomes of launches and scales whose goal can not be reached."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import (
    ON_FAILURE_CONTINUE,
    ON_FAILURE_KEEP,
    OnFailure,
    Operation,
    Task,
)
from savanna_engine.planner.answer import Refusal
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import launch, retry, roll_back, run_job, scale
from tests.unit.engine.test_planner_scale import failing, workers

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna.operation.v1.operation_pb2 import TaskSpec
    from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED, CANCELLED = (
    Operation.STATE_SUCCEEDED,
    Operation.STATE_FAILED,
    Operation.STATE_CANCELLED,
)


def begin(on_failure: OnFailure.ValueType, worker: int = 2) -> Walk:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=worker)
    walk.asked.on_failure = on_failure
    return walk


def begin_scale(on_failure: OnFailure.ValueType, worker: int) -> Walk:
    before = launch(SparkPlugin(), SPARK.cluster, worker=2)
    before.finish()
    walk = scale(before, worker=worker)
    walk.asked.on_failure = on_failure
    return walk


def counts(walk: Walk) -> dict[str, int]:
    return {each.name: each.count for each in walk.cluster.node_groups}


def bad_workers(*numbers: int) -> list[str]:
    return [f"c1-worker-{each}" for each in numbers]


def breaking(*names: str, step: str = "await/") -> Callable[[TaskSpec], str]:
    return lambda spec: (
        "SERVER_FAILED" if spec.instance in names and spec.key.startswith(step) else ""
    )


# Keep.


def test_a_launch_that_is_kept_leaves_its_hosts_for_a_look() -> None:
    walk = begin(ON_FAILURE_KEEP)

    conclusion = walk.finish(failing("start/worker/"))

    assert conclusion.state == FAILED
    assert "everything was left as it is" in conclusion.failure.message
    assert "1 of 3 nodes are ready" in conclusion.failure.message
    assert not walk.keys("remove-cluster")
    deleted = {key.removeprefix("delete/") for key in walk.keys("delete/")}
    # The first bad ones were replaced; what failed last stays.
    assert deleted == set(walk.names(Instance.STATE_DELETED))
    assert walk.names(Instance.STATE_READY) == ["c1-master-0"]
    assert walk.names(Instance.STATE_FAILED)


def test_what_was_kept_is_gone_on_with_by_the_next_try() -> None:
    first = begin(ON_FAILURE_KEEP)
    first.finish(failing("start/worker/"))
    walk = retry(first)

    assert walk.finish().state == SUCCEEDED

    assert "create/c1-master-0" not in walk.tasks
    assert walk.names(Instance.STATE_READY)[0] == "c1-master-0"
    assert len(walk.names(Instance.STATE_READY)) == 3
    assert not walk.names(Instance.STATE_FAILED)


def test_what_was_kept_is_removed_by_the_way_back() -> None:
    first = begin(ON_FAILURE_KEEP)
    first.finish(failing("start/worker/"))
    walk = roll_back(first)

    assert walk.finish().state == SUCCEEDED

    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())
    assert walk.state_of("remove-cluster") == Task.STATE_SUCCEEDED


def test_a_scale_that_is_kept_says_how_much_works() -> None:
    walk = begin_scale(ON_FAILURE_KEEP, worker=4)

    conclusion = walk.finish(failing("configure/"))

    assert "3 of 5 nodes are ready" in conclusion.failure.message
    assert counts(walk) == {"master": 1, "worker": 4}
    assert len(walk.instances()) - len(walk.names(Instance.STATE_DELETED)) > 3
    back = roll_back(walk)
    assert back.finish().state == SUCCEEDED
    assert counts(back) == {"master": 1, "worker": 2}
    assert workers(back) == bad_workers(0, 1)
    assert back.answers[-1].facts.final_state == Cluster.STATE_ACTIVE


def test_jobs_see_only_the_nodes_that_work() -> None:
    walk = begin_scale(ON_FAILURE_KEEP, worker=4)
    walk.finish(failing("configure/"))
    asked: list[PlanRequest] = []
    job = run_job(walk, SPARK.jobs[0])
    answer = job.reply

    def listen(request: PlanRequest) -> PlanResponse | Refusal:
        asked.append(request)
        return answer(request)

    job.reply = listen
    job.plan()

    seen = [each.name for group in asked[0].cluster.node_groups for each in group.instances]
    assert sorted(seen) == ["c1-master-0", "c1-worker-0", "c1-worker-1"]


def test_a_plugin_that_refuses_what_is_to_be_kept_ends_it_as_it_is() -> None:
    walk = begin(ON_FAILURE_KEEP)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-0")
    walk.begin("create/c1-master-0")
    walk.reply = lambda _: Refusal("no licence")
    walk.fail("create/c1-master-0")

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "PLUGIN_REFUSED")
    assert conclusion.failure.message.startswith("no licence; ")
    assert walk.names(Instance.STATE_CREATED) == ["c1-worker-0"]


def test_a_cancel_leads_back_also_what_is_to_be_kept() -> None:
    walk = begin(ON_FAILURE_KEEP)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-master-0")
    walk.cancel()

    assert walk.finish().state == CANCELLED

    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


# Continue.


def test_a_launch_goes_on_without_nodes_that_failed_for_good() -> None:
    walk = begin(ON_FAILURE_CONTINUE, worker=3)

    conclusion = walk.finish(breaking(*bad_workers(1, 3)))

    assert conclusion.state == SUCCEEDED
    assert workers(walk) == bad_workers(0, 2)
    assert counts(walk) == {"master": 1, "worker": 2}
    assert walk.answers[-1].facts.final_state == Cluster.STATE_ACTIVE
    told = walk.cluster.status_description
    assert told.startswith("Active with 3 of 4 nodes; the others were given up: await/c1-worker-")
    assert walk.names(Instance.STATE_DELETED) == bad_workers(1, 3)


def test_a_scale_goes_on_without_nodes_that_failed_for_good() -> None:
    walk = begin_scale(ON_FAILURE_CONTINUE, worker=4)

    conclusion = walk.finish(breaking(*bad_workers(2, 4)))

    assert conclusion.state == SUCCEEDED
    assert workers(walk) == bad_workers(0, 1, 3)
    assert counts(walk) == {"master": 1, "worker": 3}


@pytest.mark.parametrize("prefix", ["await/c1-master", "prepare-cluster", "await/"])
def test_where_too_little_would_be_left_all_goes_back(prefix: str) -> None:
    walk = begin(ON_FAILURE_CONTINUE)

    conclusion = walk.finish(failing(prefix))

    assert conclusion.state == FAILED
    assert counts(walk) == {"master": 1, "worker": 2}
    assert not set(walk.instances()) - set(walk.names(Instance.STATE_DELETED))


# Both, in any order.


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 10_000),
    st.sampled_from([ON_FAILURE_KEEP, ON_FAILURE_CONTINUE]),
    st.one_of(st.none(), st.integers(0, 80)),
)
def test_every_order_of_events_ends_and_can_be_gone_on_with(
    seed: int, on_failure: OnFailure.ValueType, cancel_at: int | None
) -> None:
    chance = Random(seed)

    def fails(spec: TaskSpec) -> str:
        return "COMMAND_FAILED" if chance.random() < 0.15 else ""

    walk = begin(on_failure, worker=3)
    conclusion = walk.wander(chance, fails, cancel_at=cancel_at)

    if conclusion.state == SUCCEEDED:
        ready = walk.names(Instance.STATE_READY)
        assert len(ready) == sum(counts(walk).values())
        assert counts(walk)["master"] == 1
        assert counts(walk)["worker"] >= 1
        assert walk.cluster.status_description.startswith("Active with") == (len(ready) < 4)
        return
    again = retry(walk)
    assert again.finish().state == SUCCEEDED
    assert len(again.names(Instance.STATE_READY)) == 4
