"""Policies of node groups: when a cluster is of use already, and who is replaced."""

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
from tests.unit.engine.beginnings import launch, scale
from tests.unit.engine.test_planner_on_failure import bad_workers, breaking, counts
from tests.unit.engine.test_planner_scale import workers

if TYPE_CHECKING:
    from savanna.cluster.v1.template_pb2 import NodePolicy
    from savanna.operation.v1.operation_pb2 import TaskSpec
    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED, CANCELLED = (
    Operation.STATE_SUCCEEDED,
    Operation.STATE_FAILED,
    Operation.STATE_CANCELLED,
)


def policy_of(walk: Walk) -> NodePolicy:
    group = next(each for each in walk.cluster.node_groups if each.name == "worker")
    return group.spec.node_policy


def begin(worker: int, *, min_ready: int | None = None, replace: int | None = None) -> Walk:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=worker)
    if min_ready is not None:
        policy_of(walk).min_ready = min_ready
    if replace is not None:
        policy_of(walk).replace = replace
    return walk


def bring_up(walk: Walk, *numbers: int) -> None:
    """Let the master and some workers become ready."""
    names = ("c1-master-0", *bad_workers(*numbers))
    while able := [each for each in walk.able() if walk.tasks[each].spec.instance in names]:
        walk.do(*able)


@pytest.fixture
def early() -> Walk:
    """Bring a launch of four workers, of which two are enough, so far that two work."""
    walk = begin(4, min_ready=2)
    walk.plan()
    walk.do("prepare-cluster")
    bring_up(walk, 0, 1)
    return walk


# Active with less than all.


def test_a_cluster_with_enough_nodes_is_active_while_the_rest_is_made(early: Walk) -> None:
    assert early.may_plan()
    answer = early.plan()

    assert answer.facts.serves
    assert answer.conclusion is None
    assert early.cluster.status_description == "Active with 3 of 5 nodes; 2 are being made"
    assert answer.facts.HasField("info")
    bring_up(early, 2)
    early.plan()
    assert early.cluster.status_description == "Active with 4 of 5 nodes; 1 is being made"
    assert early.finish().state == SUCCEEDED
    assert early.cluster.status_description == ""
    assert counts(early) == {"master": 1, "worker": 4}


def test_a_cluster_without_one_of_its_groups_is_not_active() -> None:
    walk = begin(4, min_ready=0)
    walk.plan()
    walk.do("prepare-cluster")
    for kind in ("create/c1-worker", "await/c1-worker", "configure/c1-worker"):
        walk.do(*walk.keys(kind))
    walk.begin("create/c1-master-0")
    walk.fail("create/c1-master-0")

    assert not walk.plan().facts.serves


def test_without_a_policy_nothing_is_planned_on_the_way() -> None:
    walk = begin(4)
    walk.plan()
    assert not [key for key, each in walk.tasks.items() if each.spec.replan]


def test_the_rest_is_waited_for_as_long_as_grace_says() -> None:
    walk = begin(4, min_ready=2)
    policy_of(walk).grace.FromSeconds(60)
    walk.plan()
    walk.do("prepare-cluster")
    bring_up(walk, 0, 1)
    answer = walk.plan()
    assert not answer.facts.serves
    assert answer.replan_after is not None
    assert answer.replan_after <= 60
    walk.let_time_pass(20)
    bring_up(walk, 2)
    assert not walk.plan().facts.serves
    walk.let_time_pass(41)
    assert walk.plan().facts.serves


def test_nodes_that_fail_for_good_cost_an_active_cluster_nothing() -> None:
    walk = begin(3, min_ready=2)

    conclusion = walk.finish(breaking(*bad_workers(1, 3)))

    assert conclusion.state == SUCCEEDED
    assert walk.cluster.status_description.startswith("Active with 3 of 4 nodes; the others were")
    assert counts(walk) == {"master": 1, "worker": 2}


def test_less_than_the_least_is_led_back() -> None:
    walk = begin(3, min_ready=3)
    assert walk.finish(breaking(*bad_workers(1, 3))).state == FAILED
    assert not set(walk.instances()) - set(walk.names(Instance.STATE_DELETED))


def test_a_cancel_of_what_is_active_keeps_what_works(early: Walk) -> None:
    early.plan()
    early.cancel()

    assert early.finish().state == CANCELLED

    assert workers(early) == bad_workers(0, 1)
    assert counts(early) == {"master": 1, "worker": 2}
    assert "remove-cluster" not in early.tasks
    assert early.answers[-1].facts.final_state == Cluster.STATE_ACTIVE


def test_a_scale_leaves_a_cluster_active_that_has_enough(early: Walk) -> None:
    early.finish()
    walk = scale(early, worker=6)

    answer = walk.plan()

    assert answer.facts.serves
    assert walk.cluster.status_description == "Active with 5 of 7 nodes; 2 are being made"
    assert walk.finish().state == SUCCEEDED
    smaller = scale(walk, worker=5)
    assert not smaller.plan().facts.serves


# How many are replaced.


def test_nobody_is_replaced_where_none_may_be() -> None:
    walk = begin(3, replace=0)
    assert walk.finish(breaking(*bad_workers(1))).state == FAILED
    assert "create/c1-worker-3" not in walk.tasks


def test_so_many_are_replaced_as_the_policy_says() -> None:
    walk = begin(2, replace=3)
    assert walk.finish(breaking(*bad_workers(0, 2, 3))).state == SUCCEEDED
    assert workers(walk) == bad_workers(1, 4)
    walk = begin(2, replace=3)
    assert walk.finish(breaking(*bad_workers(0, 2, 3, 4))).state == FAILED


# Slow ones.


def test_a_server_that_is_slow_beyond_its_peers_is_replaced() -> None:
    walk = begin(4)
    first = walk.plan()
    assert first.replan_after == 30
    walk.do("prepare-cluster", *walk.keys("create/"))
    walk.let_time_pass(12)
    walk.do("await/c1-master-0", *(f"await/{each}" for each in bad_workers(0, 1, 2)))
    walk.begin("await/c1-worker-3")
    walk.let_time_pass(18)
    assert walk.may_plan()
    assert walk.plan().replan_after == 10
    walk.let_time_pass()
    # Three times the twelve seconds of the others have passed.
    walk.plan()
    assert walk.instances()["c1-worker-3"].state == Instance.STATE_FAILED
    assert "while others of its group took 12 s" in walk.instances()["c1-worker-3"].failure_message
    assert walk.tasks["await/c1-worker-3"].is_unwanted
    walk.stop("await/c1-worker-3")
    assert walk.finish().state == SUCCEEDED
    assert workers(walk) == bad_workers(0, 1, 2, 4)
    assert walk.state_of("delete/c1-worker-3") == Task.STATE_SUCCEEDED


@pytest.mark.parametrize(("answering", "replace"), [((0,), None), ((0, 1, 2), 0)])
def test_nobody_is_called_slow_without_peers_or_replacement(
    answering: tuple[int, ...], replace: int | None
) -> None:
    walk = begin(4, replace=replace)
    walk.plan()
    walk.do("prepare-cluster", *walk.keys("create/"))
    walk.let_time_pass(2)
    walk.do(*(f"await/{each}" for each in bad_workers(*answering)))
    walk.let_time_pass(300)

    walk.plan()

    assert not walk.names(Instance.STATE_FAILED)


# In any order.


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 4), st.one_of(st.none(), st.integers(0, 4)))
def test_every_order_of_events_and_times_ends_truthfully(
    seed: int, min_ready: int, replace: int | None
) -> None:
    chance = Random(seed)

    def fails(spec: TaskSpec) -> str:
        cleans = spec.kind in ("delete_server", "remove_cluster")
        return "COMMAND_FAILED" if not cleans and chance.random() < 0.1 else ""

    walk = begin(4, min_ready=min_ready, replace=replace)
    walk.time_passes = True
    conclusion = walk.wander(chance, fails)

    ready = walk.names(Instance.STATE_READY)
    if walk.asked.is_completing or conclusion.state == SUCCEEDED:
        assert walk.answers[-1].facts.final_state == Cluster.STATE_ACTIVE
        assert len(workers(walk)) >= min_ready
        assert len(ready) == sum(counts(walk).values())
    else:
        assert not set(walk.instances()) - set(walk.names(Instance.STATE_DELETED))
