"""Operations whose deadline has passed: led back as a cancel does, ended as a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.job.v1.job_pb2 import Job
from savanna.operation.v1.operation_pb2 import ON_FAILURE_KEEP, Operation
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import delete, launch, retry, run_job, scale
from tests.unit.engine.test_planner_scale import workers

if TYPE_CHECKING:
    from tests.unit.engine.walk import Walk

FAILED = Operation.STATE_FAILED


def expire(walk: Walk) -> None:
    """Let the deadline pass, as the conductor tells it; what runs is stopped."""
    walk.asked.deadline_exceeded = True
    walk.cancel()
    for key in walk.running():
        walk.stop(key)


def half_made() -> Walk:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-master-0", "create/c1-worker-0")
    walk.begin("create/c1-worker-1")
    return walk


def test_a_launch_that_takes_too_long_leaves_nothing_and_says_so() -> None:
    walk = half_made()
    expire(walk)

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "DEADLINE_EXCEEDED")
    assert conclusion.failure.message.startswith("the launch was not done before its deadline")
    assert not set(walk.instances()) - set(walk.names(Instance.STATE_DELETED))
    assert retry(walk).finish().state == Operation.STATE_SUCCEEDED


def test_a_launch_that_is_kept_is_kept_when_its_time_is_over_too() -> None:
    walk = half_made()
    walk.asked.on_failure = ON_FAILURE_KEEP
    expire(walk)

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "DEADLINE_EXCEEDED")
    assert walk.names(Instance.STATE_CREATED) == ["c1-master-0", "c1-worker-0"]
    assert not walk.keys("delete/")


def test_a_scale_that_takes_too_long_leaves_what_was_there() -> None:
    before = launch(SparkPlugin(), SPARK.cluster, worker=2)
    before.finish()
    walk = scale(before, worker=4)
    walk.plan()
    expire(walk)

    assert walk.finish().failure.reason == "DEADLINE_EXCEEDED"

    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert walk.cluster.node_groups[1].count == 2


def test_a_delete_that_takes_too_long_ends_and_can_be_tried_again() -> None:
    before = launch(SparkPlugin(), SPARK.cluster, worker=2)
    before.finish()
    walk = delete(before)
    walk.plan()
    walk.begin("delete/c1-worker-0")
    walk.asked.deadline_exceeded = True
    walk.cancel()
    assert not walk.may_plan()
    walk.stop("delete/c1-worker-0")

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "DEADLINE_EXCEEDED")
    assert walk.answers[-1].facts.final_state == Cluster.STATE_ERROR
    assert delete(walk).finish().state == Operation.STATE_SUCCEEDED


def test_a_job_that_takes_too_long_is_stopped_and_has_failed() -> None:
    before = launch(SparkPlugin(), SPARK.cluster, worker=2)
    before.finish()
    walk = run_job(before, SPARK.jobs[0])
    walk.plan()
    walk.do(*walk.able())
    expire(walk)

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "DEADLINE_EXCEEDED")
    assert walk.job_now.state == Job.STATE_FAILED
