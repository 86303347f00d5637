from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.engine.v1.step_pb2 import StepBody
from savanna.operation.v1.operation_pb2 import Operation, Task, TaskSpec
from savanna_engine.planner.answer import Refusal
from savanna_plugin_fake.example import EXAMPLE as FAKE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import delete, launch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED, CANCELLED = (
    Operation.STATE_SUCCEEDED,
    Operation.STATE_FAILED,
    Operation.STATE_CANCELLED,
)


def fake(**counts: int) -> Walk:
    return launch(FakePlugin(), FAKE.cluster, **counts)


def failing(*keys: str, reason: str = "COMMAND_FAILED") -> Callable[[TaskSpec], str]:
    return lambda spec: reason if spec.key in keys else ""


def test_a_launch_of_three_nodes_needs_two_plans() -> None:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=2)

    assert walk.finish().state == SUCCEEDED

    assert walk.plans == 2
    assert walk.names(Instance.STATE_READY) == ["c1-master-0", "c1-worker-0", "c1-worker-1"]
    assert walk.answers[-1].facts.final_state == Cluster.STATE_ACTIVE
    assert walk.cluster.info.sections["Spark"].values["Web UI"].startswith("http://198.51.100.")


def test_a_worker_waits_only_for_itself_and_for_what_it_names() -> None:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=3)
    walk.plan()

    walk.do("prepare-cluster", "create/c1-worker-0", "await/c1-worker-0", "configure/c1-worker-0")
    walk.do("create/c1-master-0", "await/c1-master-0", "configure/c1-master-0")
    walk.do("start/master/c1-master-0", "start/worker/c1-worker-0")

    assert walk.instances()["c1-worker-0"].state == Instance.STATE_READY
    assert walk.instances()["c1-worker-1"].state == Instance.STATE_PLANNED


def test_calls_of_a_cloud_and_steps_on_a_host_are_limited() -> None:
    walk = fake(worker=1)
    walk.plan()

    for key in ("prepare-cluster", "create/c1-worker-0"):
        assert dict(walk.tasks[key].spec.limits) == {"cloud/local": 64}
    for key in ("await/c1-worker-0", "configure/c1-worker-0"):
        assert dict(walk.tasks[key].spec.limits) == {f"host/{walk.cluster.id}/c1-worker-0": 4}


def test_an_instance_is_declared_before_the_cloud_is_asked_for_it() -> None:
    walk = fake(worker=2)

    answer = walk.plan()

    declared = {each.name: each for each in answer.facts.instances}
    assert sorted(declared) == ["c1-master-0", "c1-worker-0", "c1-worker-1"]
    assert {each.state for each in declared.values()} == {Instance.STATE_PLANNED}
    made = {each.instance for each in answer.specs if each.kind == "create_server"}
    assert made == set(declared)
    assert all(uuid.UUID(each.id) for each in declared.values())


def test_the_same_facts_give_the_same_bytes() -> None:
    one, other = fake(worker=5), fake(worker=5)

    for walk in (one, other):
        walk.plan()
        walk.do("prepare-cluster", "create/c1-worker-2")
        walk.begin("create/c1-worker-3")
        walk.fail("create/c1-worker-3", "QUOTA_EXCEEDED")

    for first, second in ((one.think(), other.think()), (one.think(), one.think())):
        assert [each.SerializeToString() for each in first.specs] == [
            each.SerializeToString() for each in second.specs
        ]
        assert first.facts.SerializeToString(deterministic=True) == (
            second.facts.SerializeToString(deterministic=True)
        )


def test_a_server_is_ordered_as_its_group_says_and_with_the_image_of_the_cluster() -> None:
    walk = fake(worker=2)
    walk.cluster.default_image_id = "image-1"
    walk.cluster.node_groups[1].spec.flavor_id = "small"
    walk.plan()

    step = StepBody.FromString(walk.tasks["create/c1-worker-1"].spec.body).create_server

    assert (step.instance.name, step.node_group.name) == ("c1-worker-1", "worker")
    assert (step.node_group.spec.flavor_id, step.node_group.spec.image_id) == ("small", "image-1")
    assert not step.node_group.instances


def test_a_bad_node_is_replaced_once_under_a_new_name_while_it_is_deleted() -> None:
    walk = fake(worker=3)

    conclusion = walk.finish(failing("await/c1-worker-1", reason="TIMED_OUT"))

    assert conclusion.state == SUCCEEDED
    assert walk.names(Instance.STATE_DELETED) == ["c1-worker-1"]
    assert walk.names(Instance.STATE_READY) == [
        "c1-master-0",
        "c1-worker-0",
        "c1-worker-2",
        "c1-worker-3",
    ]
    replacing = next(each for each in walk.answers if each.facts.instances[0].failure_message)
    assert {"delete/c1-worker-1", "create/c1-worker-3"} <= {each.key for each in replacing.specs}
    deleting = next(each for each in replacing.specs if each.key == "delete/c1-worker-1")
    assert not deleting.needs


def test_what_still_runs_on_a_bad_node_is_no_longer_wanted() -> None:
    walk = fake(worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-0")
    walk.begin("await/c1-worker-0")
    walk.fail("await/c1-worker-0", "SERVER_GONE")

    walk.plan()

    assert walk.state_of("configure/c1-worker-0") == Task.STATE_SKIPPED
    assert walk.state_of("start/c1-worker-0") == Task.STATE_SKIPPED


def test_steps_that_waited_for_a_bad_node_wait_for_its_replacement() -> None:
    walk = fake(worker=2)

    assert walk.finish(failing("start/c1-master-0")).state == SUCCEEDED

    assert walk.state_of("start/c1-worker-0") == Task.STATE_SKIPPED
    assert "start/c1-master-1" in walk.tasks["start/c1-worker-0~2"].spec.needs


def test_what_was_set_up_with_a_bad_node_is_replaced_with_it() -> None:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=2)

    conclusion = walk.finish(failing("start/history-server/c1-master-0"))

    # A worker that has registered with a master that is gone would wait for it for ever.
    assert conclusion.state == SUCCEEDED
    assert walk.names(Instance.STATE_DELETED) == ["c1-master-0", "c1-worker-0", "c1-worker-1"]
    assert walk.names(Instance.STATE_READY) == ["c1-master-1", "c1-worker-2", "c1-worker-3"]
    assert "set up with c1-master-0" in walk.instances()["c1-worker-0"].failure_message


def test_a_step_that_waits_and_was_told_of_a_bad_node_is_asked_for_anew() -> None:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=1)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-master-0", "await/c1-master-0", "configure/c1-master-0")
    walk.do("start/master/c1-master-0")
    walk.begin("start/history-server/c1-master-0")
    walk.fail("start/history-server/c1-master-0")
    assert walk.state_of("start/worker/c1-worker-0") == Task.STATE_PENDING

    walk.plan()

    assert walk.state_of("start/worker/c1-worker-0") == Task.STATE_SKIPPED
    again = walk.tasks["start/worker/c1-worker-0~2"].spec
    script = StepBody.FromString(again.body).run_script.script
    assert script.environment["MASTER_ADDRESS"].address_of == "c1-master-1"
    assert walk.finish().state == SUCCEEDED
    assert walk.instances()["c1-worker-0"].state == Instance.STATE_READY


def test_a_step_that_runs_and_was_told_of_a_bad_node_is_stopped_and_asked_for_anew() -> None:
    walk = launch(SparkPlugin(), SPARK.cluster, worker=1)
    walk.plan()
    for kind in ("prepare-cluster", "create/", "await/", "configure/", "start/master"):
        walk.do(*walk.keys(kind))
    walk.begin("start/worker/c1-worker-0")
    walk.begin("start/history-server/c1-master-0")
    walk.fail("start/history-server/c1-master-0")

    walk.plan()

    assert walk.tasks["start/worker/c1-worker-0"].is_unwanted
    walk.stop("start/worker/c1-worker-0")
    assert walk.finish().state == SUCCEEDED
    assert walk.state_of("start/worker/c1-worker-0~2") == Task.STATE_SUCCEEDED


def test_a_replacement_that_fails_too_ends_the_launch() -> None:
    walk = fake(worker=30)

    conclusion = walk.finish(failing("configure/c1-worker-7", "configure/c1-worker-30"))

    assert conclusion.state == FAILED
    assert "create/c1-worker-31" not in walk.tasks


def test_many_bad_nodes_are_replaced_each() -> None:
    walk = fake(worker=4)

    conclusion = walk.finish(failing(*(f"configure/c1-worker-{number}" for number in range(4))))

    assert conclusion.state == SUCCEEDED
    assert [each for each in walk.names(Instance.STATE_READY) if "worker" in each] == [
        f"c1-worker-{number}" for number in (4, 5, 6, 7)
    ]


def test_a_launch_that_fails_for_good_removes_its_hosts_and_keeps_the_evidence() -> None:
    walk = fake(worker=3)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-0", "await/c1-worker-0")
    for key in ("configure/c1-worker-0", "configure/c1-worker-3"):
        if key not in walk.able():
            walk.do("create/c1-worker-3", "await/c1-worker-3")
        walk.begin(key)
        walk.fail(key, command="exit 7", output_tail="no disk")
        walk.plan()

    conclusion = walk.finish()

    assert conclusion.state == FAILED
    assert (conclusion.failure.command, conclusion.failure.output_tail) == ("exit 7", "no disk")
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())
    assert walk.state_of("remove-cluster") == Task.STATE_SUCCEEDED
    assert not walk.running()


def test_a_quota_that_is_reached_ends_the_launch_and_says_so() -> None:
    walk = fake(worker=3)

    conclusion = walk.finish(lambda spec: "QUOTA_EXCEEDED" if spec.kind == "create_server" else "")

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "QUOTA_EXCEEDED")
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


def test_a_launch_whose_cloud_prepares_nothing_ends_and_tells_why() -> None:
    walk = fake(worker=3)

    conclusion = walk.finish(failing("prepare-cluster", reason="CLOUD_REFUSED"))

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "CLOUD_REFUSED")
    assert not walk.keys("create/c1-worker-3")


def test_a_host_that_the_cloud_does_not_remove_is_named_and_all_others_are_removed() -> None:
    walk = fake(worker=3)

    def fails(spec: TaskSpec) -> str:
        if spec.kind == "run_script":
            return "COMMAND_FAILED"
        return "CLOUD_UNAVAILABLE" if spec.key == "delete/c1-worker-1" else ""

    conclusion = walk.finish(fails)

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "RESIDUE")
    assert "configure/" in conclusion.failure.message
    assert "c1-worker-1" in conclusion.failure.message
    living = [n for n, each in walk.instances().items() if each.state != Instance.STATE_DELETED]
    assert living == ["c1-worker-1"]


def test_a_plugin_that_refuses_ends_the_launch_before_it_made_anything() -> None:
    walk = fake()
    walk.reply = lambda _: Refusal("there is no master")

    conclusion = walk.finish()

    assert (conclusion.failure.reason, conclusion.failure.message) == (
        "PLUGIN_REFUSED",
        "there is no master",
    )
    assert not walk.tasks
    assert not walk.instances()


def test_a_plugin_that_refuses_midway_is_not_asked_again_and_its_words_are_kept() -> None:
    walk = fake(worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-master-0", "create/c1-worker-0")
    walk.begin("create/c1-worker-1")
    walk.fail("create/c1-worker-1", "CLOUD_REFUSED")
    walk.reply = lambda _: Refusal("this can not be repaired")

    conclusion = walk.finish()

    assert conclusion.state == FAILED
    assert conclusion.failure.message == "this can not be repaired"
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


def test_a_server_that_is_asked_for_while_the_way_back_is_planned_is_deleted_after_that() -> None:
    walk = fake(worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-master-0")
    walk.reply = lambda _: Refusal("this can not be repaired")
    walk.begin_plan()
    walk.begin("create/c1-worker-1")
    walk.end_plan()

    assert "delete/c1-worker-1" not in walk.tasks
    walk.stop("create/c1-worker-1")
    conclusion = walk.finish()

    assert conclusion.state == FAILED
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


def test_a_cancelled_launch_leaves_nothing() -> None:
    walk = fake(worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-0", "await/c1-worker-0")
    walk.begin("create/c1-worker-1")
    walk.cancel()

    assert not walk.may_plan()  # The cloud is still being asked for a server.
    walk.stop("create/c1-worker-1")
    conclusion = walk.finish()

    assert conclusion.state == CANCELLED
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())
    assert "cancelled" in walk.cluster.status_description


def test_a_cancel_while_a_failed_launch_is_taken_back_still_removes_all() -> None:
    walk = fake(worker=2)
    walk.plan()
    walk.begin("prepare-cluster")
    walk.fail("prepare-cluster")
    walk.plan()
    assert walk.keys("delete/")

    walk.cancel()

    assert walk.finish().state == CANCELLED
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


def test_a_delete_while_servers_are_made_needs_no_plugin_and_leaves_nothing() -> None:
    walk = fake(worker=3)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-0")
    walk.begin("create/c1-worker-1")
    walk.cluster.state = Cluster.STATE_DELETING
    walk.cancel()
    walk.stop("create/c1-worker-1")

    assert walk.finish().state == CANCELLED
    deleting = delete(walk)
    assert deleting.finish().state == SUCCEEDED

    assert deleting.plans == 2
    assert set(deleting.names(Instance.STATE_DELETED)) == set(deleting.instances())
    last = deleting.tasks["remove-cluster"].spec
    assert set(last.needs) == {f"delete/{name}" for name in deleting.instances()}


def test_a_delete_that_the_cloud_does_not_finish_names_what_is_left_and_can_be_repeated() -> None:
    walk = fake(worker=3)
    walk.finish()
    deleting = delete(walk)

    conclusion = deleting.finish(failing("delete/c1-worker-0", reason="CLOUD_UNAVAILABLE"))

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "RESIDUE")
    assert "c1-worker-0" in conclusion.failure.message
    assert len(deleting.names(Instance.STATE_DELETED)) == 3
    assert deleting.answers[-1].facts.final_state == Cluster.STATE_ERROR
    again = delete(deleting)
    assert again.finish().state == SUCCEEDED
    assert again.keys("delete/") == ["delete/c1-worker-0"]
