"""What large plans cost: CPU seconds of the planner alone, the plugin's own left out."""

from __future__ import annotations

import time

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Task
from savanna_engine.planner import plan
from savanna_plugin_fake.example import EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from tests.unit.engine.beginnings import delete, launch, scale
from tests.unit.engine.walk import LIMITS, Walk

NODES = 1000
MOST = 0.5


@pytest.fixture(scope="module")
def launched() -> Walk:
    walk = launch(FakePlugin(), EXAMPLE.cluster, worker=NODES)
    walk.plan()
    walk.do(*_in_order(walk))
    return walk


def _in_order(walk: Walk) -> list[str]:
    kinds = ("prepare-cluster", "create/", "await/", "configure/", "start/c1-master", "start/c1-w")
    return [key for kind in kinds for key in walk.keys(kind)]


def cpu_seconds(walk: Walk) -> float:
    facts = walk.facts()
    begin = time.process_time()
    question = plan.question(facts, LIMITS)
    seconds = time.process_time() - begin
    reply = None if question is None else walk.reply(question)
    begin = time.process_time()
    plan.decide(facts, LIMITS, reply=reply)
    return seconds + time.process_time() - begin


def test_the_first_plan_of_a_thousand_nodes_is_quick() -> None:
    assert cpu_seconds(launch(FakePlugin(), EXAMPLE.cluster, worker=NODES)) < MOST


def test_the_last_plan_of_a_thousand_nodes_is_quick(launched: Walk) -> None:
    assert cpu_seconds(launched) < MOST


def test_replacing_a_hundred_of_a_thousand_nodes_is_quick() -> None:
    walk = launch(FakePlugin(), EXAMPLE.cluster, worker=NODES)
    walk.plan()
    walk.do("prepare-cluster")
    for key in walk.keys("create/")[:100]:
        walk.begin(key)
        walk.fail(key, "CLOUD_UNAVAILABLE")

    assert cpu_seconds(walk) < MOST


def test_letting_half_of_a_thousand_nodes_go_is_quick(launched: Walk) -> None:
    walk = scale(launched, worker=NODES // 2)

    assert cpu_seconds(walk) < MOST
    walk.plan()
    assert len(walk.names(Instance.STATE_LEAVING)) == NODES // 2
    assert cpu_seconds(walk) < MOST


def test_leading_a_thousand_nodes_back_is_quick(launched: Walk) -> None:
    walk = launch(FakePlugin(), EXAMPLE.cluster, worker=NODES)
    walk.cluster.CopyFrom(launched.cluster)
    walk.tasks = dict(launched.tasks)
    walk.cancel_requested = True

    assert cpu_seconds(walk) < MOST


def test_deleting_a_thousand_nodes_is_quick(launched: Walk) -> None:
    walk = delete(launched)

    assert cpu_seconds(walk) < MOST
    walk.plan()
    assert walk.state_of("remove-cluster") == Task.STATE_PENDING
