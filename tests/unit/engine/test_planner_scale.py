from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import ON_FAILURE_KEEP, Operation, Task
from savanna_engine.planner.answer import Refusal
from savanna_plugin_fake.example import EXAMPLE as FAKE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import delete, launch, roll_back, scale

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna.operation.v1.operation_pb2 import TaskSpec
    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED, CANCELLED = (
    Operation.STATE_SUCCEEDED,
    Operation.STATE_FAILED,
    Operation.STATE_CANCELLED,
)


def failing(prefix: str, reason: str = "COMMAND_FAILED") -> Callable[[TaskSpec], str]:
    return lambda spec: reason if spec.key.startswith(prefix) else ""


@pytest.fixture
def spark() -> Walk:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=2)
    walk.finish()
    return walk


def make(walk: Walk, name: str) -> None:
    """Do everything that makes a node ready."""
    while walk.instances()[name].state != Instance.STATE_READY:
        able = [key for key in walk.able() if key == "prepare-cluster" or key.endswith(name)]
        walk.do(able[0])


def counts(walk: Walk) -> dict[str, int]:
    return {each.name: each.count for each in walk.cluster.node_groups}


def workers(walk: Walk) -> list[str]:
    return [each for each in walk.names(Instance.STATE_READY) if "worker" in each]


def test_scaling_out_makes_what_is_missing_and_leaves_what_runs_alone(spark: Walk) -> None:
    walk = scale(spark, worker=4)

    assert walk.finish().state == SUCCEEDED

    assert workers(walk) == [f"c1-worker-{number}" for number in range(4)]
    assert not [key for key in walk.tasks if key.endswith(("worker-0", "worker-1", "master-0"))]
    assert walk.plans == 2


def test_scaling_in_decommissions_before_it_deletes(spark: Walk) -> None:
    walk = scale(spark, worker=1)
    walk.plan()

    assert walk.names(Instance.STATE_LEAVING) == ["c1-worker-1"]
    assert list(walk.tasks["delete/c1-worker-1"].spec.needs) == ["decommission/c1-worker-1"]
    assert walk.finish().state == SUCCEEDED
    assert walk.names(Instance.STATE_DELETED) == ["c1-worker-1"]
    assert walk.answers[-1].facts.final_state == Cluster.STATE_ACTIVE


def test_users_choose_who_leaves(spark: Walk) -> None:
    walk = scale(spark, worker=1, leaving=["c1-worker-0"])

    assert walk.finish().state == SUCCEEDED

    assert workers(walk) == ["c1-worker-1"]


def test_a_name_is_never_used_again(spark: Walk) -> None:
    smaller = scale(spark, worker=1)
    smaller.finish()
    walk = scale(smaller, worker=3)

    walk.finish()

    assert workers(walk) == ["c1-worker-0", "c1-worker-2", "c1-worker-3"]


@pytest.mark.parametrize("reason", ["HOST_UNREACHABLE", "TIMED_OUT", "COMMAND_TIMED_OUT"])
def test_a_node_that_leaves_and_does_not_answer_is_deleted_all_the_same(
    spark: Walk, reason: str
) -> None:
    walk = scale(spark, worker=1)

    assert walk.finish(failing("decommission/", reason)).state == SUCCEEDED

    assert walk.names(Instance.STATE_DELETED) == ["c1-worker-1"]
    assert walk.state_of("delete/c1-worker-1") == Task.STATE_SKIPPED
    assert walk.state_of("delete/c1-worker-1~2") == Task.STATE_SUCCEEDED


def test_a_node_that_can_not_hand_over_keeps_its_host_and_the_scale_says_why(spark: Walk) -> None:
    walk = scale(spark, worker=1)

    conclusion = walk.finish(failing("decommission/"))

    assert (conclusion.state, conclusion.failure.task_key) == (FAILED, "decommission/c1-worker-1")
    assert walk.names(Instance.STATE_LEAVING) == ["c1-worker-1"]
    assert not walk.names(Instance.STATE_DELETED)
    again = scale(walk, worker=1)
    assert again.finish().state == SUCCEEDED
    assert again.names(Instance.STATE_DELETED) == ["c1-worker-1"]


def test_a_scale_that_fails_removes_new_nodes_that_are_ready(spark: Walk) -> None:
    walk = scale(spark, worker=4)
    walk.plan()
    make(walk, "c1-worker-2")
    assert "c1-worker-2" in workers(walk)

    conclusion = walk.finish(failing("create/", "QUOTA_EXCEEDED"))

    assert conclusion.state == FAILED
    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert walk.state_of("delete/c1-worker-2") == Task.STATE_SUCCEEDED
    assert counts(walk) == {"master": 1, "worker": 2}


def test_a_scale_that_is_cancelled_removes_new_nodes_that_are_ready(spark: Walk) -> None:
    walk = scale(spark, worker=3)
    walk.plan()
    make(walk, "c1-worker-2")
    walk.cancel()

    assert walk.finish().state == Operation.STATE_CANCELLED

    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert counts(walk) == {"master": 1, "worker": 2}


def test_a_new_node_that_the_cloud_does_not_remove_is_told_and_not_counted(spark: Walk) -> None:
    walk = scale(spark, worker=4)
    walk.plan()
    make(walk, "c1-worker-2")

    conclusion = walk.finish(
        lambda spec: "CLOUD_ERROR" if spec.key.startswith(("create/", "delete/")) else ""
    )

    assert conclusion.failure.reason == "RESIDUE"
    assert "c1-worker-2" in conclusion.failure.message
    assert "c1-worker-2" in walk.names(Instance.STATE_FAILED)
    assert counts(walk) == {"master": 1, "worker": 2}


def test_the_way_back_of_a_scale_that_kept_everything_removes_its_new_nodes(spark: Walk) -> None:
    first = scale(spark, worker=4)
    first.asked.on_failure = ON_FAILURE_KEEP
    first.plan()
    make(first, "c1-worker-2")
    first.finish(failing("create/", "QUOTA_EXCEEDED"))
    assert "c1-worker-2" in workers(first)
    walk = roll_back(first)

    assert walk.finish().state == SUCCEEDED

    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert counts(walk) == {"master": 1, "worker": 2}


def test_a_node_about_which_nothing_was_done_stays_when_its_scale_is_cancelled(
    spark: Walk,
) -> None:
    walk = scale(spark, worker=1)
    walk.plan()
    walk.cancel()

    assert walk.finish().state == Operation.STATE_CANCELLED

    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert counts(walk) == {"master": 1, "worker": 2}


def test_a_node_that_has_begun_to_hand_over_does_not_work_on_and_users_are_told(
    spark: Walk,
) -> None:
    walk = scale(spark, worker=1)
    walk.plan()
    walk.begin("decommission/c1-worker-1")
    walk.cancel()

    assert walk.finish().state == Operation.STATE_CANCELLED

    assert walk.names(Instance.STATE_LEAVING) == ["c1-worker-1"]
    assert counts(walk) == {"master": 1, "worker": 1}
    assert "c1-worker-1 began to hand over" in walk.cluster.status_description


def test_a_node_that_an_earlier_scale_let_go_does_not_come_back(spark: Walk) -> None:
    first = scale(spark, worker=1)
    first.finish(failing("decommission/"))
    walk = scale(first, worker=2)
    walk.asked.create_time.FromSeconds(int(walk.now) + 10)
    walk.plan()
    walk.cancel()

    walk.finish()

    assert walk.names(Instance.STATE_LEAVING) == ["c1-worker-1"]


def test_a_bad_new_node_is_replaced_while_a_scale_goes_on(spark: Walk) -> None:
    walk = scale(spark, worker=3)

    assert walk.finish(failing("await/c1-worker-2", "SERVER_FAILED")).state == SUCCEEDED

    assert workers(walk) == ["c1-worker-0", "c1-worker-1", "c1-worker-3"]


def test_a_scale_that_fails_leaves_what_was_there(spark: Walk) -> None:
    walk = scale(spark, worker=4)

    conclusion = walk.finish(failing("create/", "QUOTA_EXCEEDED"))

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "QUOTA_EXCEEDED")
    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert not walk.keys("remove-cluster")
    assert {each.name: each.count for each in walk.cluster.node_groups} == {
        "master": 1,
        "worker": 2,
    }
    hidden = walk.names(Instance.STATE_DELETED)
    assert set(walk.instances()) == {*workers(walk), "c1-master-0", *hidden}


def test_a_scale_waits_for_what_it_stops_before_it_ends() -> None:
    before = launch(FakePlugin(), FAKE.cluster, worker=3)
    before.finish()
    walk = scale(before, worker=1)
    walk.plan()
    walk.begin("decommission/c1-worker-1")
    walk.begin("decommission/c1-worker-2")
    walk.fail("decommission/c1-worker-2")

    answer = walk.plan()

    assert answer.conclusion is None
    assert walk.tasks["decommission/c1-worker-1"].is_unwanted
    walk.stop("decommission/c1-worker-1")
    walk.plan()
    assert walk.conclusion is not None


def test_a_cancelled_scale_leaves_what_was_there(spark: Walk) -> None:
    walk = scale(spark, worker=5)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-2")
    walk.begin("create/c1-worker-3")
    walk.cancel()
    walk.stop("create/c1-worker-3")

    assert walk.finish().state == CANCELLED

    assert workers(walk) == ["c1-worker-0", "c1-worker-1"]
    assert walk.cluster.node_groups[1].count == 2
    assert not walk.cluster.status_description


def test_a_plugin_that_refuses_a_scale_leaves_what_was_there(spark: Walk) -> None:
    walk = scale(spark, worker=5)
    walk.reply = lambda _: Refusal("too many")

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.message) == (FAILED, "too many")
    assert not walk.tasks
    assert walk.cluster.node_groups[1].count == 2


def test_what_was_told_of_troubles_is_taken_back_when_all_is_well(spark: Walk) -> None:
    walk = scale(spark, worker=3)
    walk.cluster.status_description = "waits for the plugin 'spark'"

    walk.finish()

    assert not walk.cluster.status_description


def test_a_delete_asks_only_for_what_may_still_exist(spark: Walk) -> None:
    smaller = scale(spark, worker=1)
    smaller.finish()
    walk = delete(smaller)

    assert walk.finish().state == SUCCEEDED

    assert walk.keys() == ["delete/c1-master-0", "delete/c1-worker-0", "remove-cluster"]
