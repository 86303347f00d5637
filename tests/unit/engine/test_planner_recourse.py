"""Another try, and the way back, planned from what the first operation has left."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation, Task
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import launch, retry, roll_back, scale
from tests.unit.engine.test_planner_scale import failing, workers

if TYPE_CHECKING:
    from savanna.operation.v1.operation_pb2 import TaskSpec
    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED = Operation.STATE_SUCCEEDED, Operation.STATE_FAILED


@pytest.fixture
def failed() -> Walk:
    """Fail a launch for good; nothing of it is left."""
    walk = launch(SparkPlugin(), SPARK.cluster, worker=2)
    assert walk.finish(failing("start/worker/c1-worker")).state == FAILED
    return walk


def stubborn(spec: TaskSpec) -> str:
    """Let a worker fail, and the cloud keep one of the others."""
    if spec.key.startswith("start/worker/c1-worker"):
        return "COMMAND_FAILED"
    return "CLOUD_ERROR" if spec.key == "delete/c1-master-0" else ""


def test_a_launch_that_left_nothing_is_launched_anew_with_new_names(failed: Walk) -> None:
    used = set(failed.instances())
    walk = retry(failed)

    assert walk.finish().state == SUCCEEDED

    ready = set(walk.names(Instance.STATE_READY))
    assert len(ready) == 3
    assert not ready & used
    assert walk.answers[-1].facts.final_state == Cluster.STATE_ACTIVE


def test_what_the_cloud_did_not_remove_is_removed_by_the_next_try() -> None:
    first = launch(SparkPlugin(), SPARK.cluster, worker=2)
    assert first.finish(stubborn).failure.reason == "RESIDUE"
    assert first.names(Instance.STATE_FAILED) == ["c1-master-0"]
    walk = retry(first)

    assert walk.finish().state == SUCCEEDED

    assert walk.state_of("delete/c1-master-0") == Task.STATE_SUCCEEDED
    assert not walk.names(Instance.STATE_FAILED)
    assert len(walk.names(Instance.STATE_READY)) == 3


def test_a_failed_scale_is_tried_again_with_its_counts() -> None:
    before = launch(SparkPlugin(), SPARK.cluster, worker=2)
    before.finish()
    first = scale(before, worker=4)
    assert first.finish(failing("create/", "QUOTA_EXCEEDED")).state == FAILED
    walk = retry(first)

    assert walk.finish().state == SUCCEEDED

    assert len(workers(walk)) == 4
    assert {"c1-worker-0", "c1-worker-1"} < set(workers(walk))


def test_the_way_back_removes_what_a_launch_left_and_what_its_hosts_shared() -> None:
    first = launch(SparkPlugin(), SPARK.cluster, worker=2)
    first.finish(stubborn)
    walk = roll_back(first)

    assert walk.finish().state == SUCCEEDED

    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())
    assert walk.state_of("remove-cluster") == Task.STATE_SUCCEEDED
    facts = walk.answers[-1].facts
    assert facts.final_state == Cluster.STATE_ERROR
    assert "rolled back by wish" in facts.status_description


def test_a_way_back_that_the_cloud_does_not_take_says_what_is_left() -> None:
    first = launch(SparkPlugin(), SPARK.cluster, worker=2)
    first.finish(stubborn)
    walk = roll_back(first)

    conclusion = walk.finish(failing("delete/", "CLOUD_ERROR"))

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "RESIDUE")
    assert "c1-master-0" in conclusion.failure.message
    assert roll_back(walk).finish().state == SUCCEEDED


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_another_try_after_any_end_reaches_the_goal(seed: int, cancel_at: int) -> None:
    chance = Random(seed)
    first = launch(SparkPlugin(), SPARK.cluster, worker=2)
    conclusion = first.wander(
        chance,
        lambda _: "COMMAND_FAILED" if chance.random() < 0.2 else "",
        cancel_at=cancel_at,
    )
    if conclusion.state == SUCCEEDED:
        return
    walk = retry(first)

    assert walk.finish().state == SUCCEEDED

    assert len(walk.names(Instance.STATE_READY)) == 3
    assert not walk.names(Instance.STATE_FAILED)
