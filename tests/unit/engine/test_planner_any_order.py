"""Whatever fails and in whatever order things happen: an operation ends, and leaves what it may."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.job.v1.job_pb2 import Job
from savanna.operation.v1.operation_pb2 import Operation, Task, TaskSpec
from savanna_plugin_fake.example import EXAMPLE as FAKE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import delete, launch, run_job, scale

if TYPE_CHECKING:
    from random import Random

    from tests.unit.engine.walk import Walk

REASONS = ("COMMAND_FAILED", "HOST_UNREACHABLE", "TIMED_OUT", "CLOUD_UNAVAILABLE")
EXAMPLES = ((FakePlugin(), FAKE.cluster), (SparkPlugin(), SPARK.cluster))
any_order = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
plugins = st.sampled_from(range(len(EXAMPLES)))
chances = st.randoms(use_true_random=False)
rates = st.sampled_from([0.0, 0.05, 0.2, 0.6])
workers = st.integers(1, 4)


class Trouble:
    """Lets steps fail at a rate; the removal of things only where asked for."""

    def __init__(self, chance: Random, rate: float, *, removals: bool = False) -> None:
        self._chance = chance
        self._rate = rate
        self._removals = removals

    def __call__(self, spec: TaskSpec) -> str:
        if spec.kind in ("delete_server", "remove_cluster") and not self._removals:
            return ""
        return self._chance.choice(REASONS) if self._chance.random() < self._rate else ""


def begun(number: int, count: int) -> Walk:
    plugin, example = EXAMPLES[number]
    return launch(plugin, example, worker=count)


def launched(number: int, count: int) -> Walk:
    walk = begun(number, count)
    walk.finish()
    return walk


def assert_sound(walk: Walk) -> None:
    """Check what holds at any end."""
    assert not walk.running()
    names = [each.name for each in walk.instances().values()]
    assert len(names) == len(set(names))
    for answer in walk.answers:
        keys = [each.key for each in answer.specs]
        assert len(keys) == len(set(keys))


def assert_nothing_left(walk: Walk) -> None:
    left = {name for name, each in walk.instances().items() if each.state != Instance.STATE_DELETED}
    assert not left, f"left: {left}"


def assert_reached(walk: Walk) -> None:
    for group in walk.cluster.node_groups:
        states = [each.state for each in group.instances if each.state != Instance.STATE_DELETED]
        assert states == [Instance.STATE_READY] * group.count


def assert_nothing_speaks_of_the_gone(walk: Walk) -> None:
    """Check that no node that is there was told of one that is not."""
    known = walk.instances()
    scripts = [each for each in walk.tasks.values() if each.spec.kind == "run_script"]
    for task in scripts:
        is_there = known[task.spec.instance].state == Instance.STATE_READY
        if is_there and task.state == Task.STATE_SUCCEEDED:
            told = {walk.tasks[need].spec.instance for need in task.spec.needs}
            assert all(known[name].state == Instance.STATE_READY for name in told)


@any_order
@given(plugins, workers, chances, rates)
def test_a_launch_ends_active_or_with_nothing_left(
    number: int, count: int, chance: Random, rate: float
) -> None:
    walk = begun(number, count)

    conclusion = walk.wander(chance, Trouble(chance, rate))

    event(Operation.State.Name(conclusion.state))
    assert_sound(walk)
    if conclusion.state == Operation.STATE_SUCCEEDED:
        assert_reached(walk)
        assert_nothing_speaks_of_the_gone(walk)
    else:
        assert conclusion.state == Operation.STATE_FAILED
        assert conclusion.failure.message
        assert_nothing_left(walk)


@any_order
@given(plugins, workers, chances, st.sampled_from([0.2, 0.6]))
def test_a_launch_whose_hosts_are_not_removed_names_them(
    number: int, count: int, chance: Random, rate: float
) -> None:
    walk = begun(number, count)

    conclusion = walk.wander(chance, Trouble(chance, rate, removals=True))

    event(Operation.State.Name(conclusion.state))
    assert_sound(walk)
    for name, each in walk.instances().items():
        if conclusion.state == Operation.STATE_SUCCEEDED:
            assert each.state in (Instance.STATE_READY, Instance.STATE_DELETED)
        elif each.state != Instance.STATE_DELETED:
            assert name in conclusion.failure.message
            assert any(
                state == "STATE_FAILED"
                for key, state in walk.states().items()
                if key.startswith(f"delete/{name}")
            )


@any_order
@given(plugins, workers, chances, rates, st.integers(0, 60))
def test_a_launch_can_be_cancelled_at_any_moment(
    number: int, count: int, chance: Random, rate: float, moment: int
) -> None:
    walk = begun(number, count)

    conclusion = walk.wander(chance, Trouble(chance, rate), cancel_at=moment)

    event(Operation.State.Name(conclusion.state))
    assert_sound(walk)
    if conclusion.state == Operation.STATE_SUCCEEDED:
        assert_reached(walk)
    else:
        assert_nothing_left(walk)


@any_order
@given(plugins, workers, chances, rates, st.integers(0, 60))
def test_a_cluster_can_be_deleted_at_any_moment_of_its_launch(
    number: int, count: int, chance: Random, rate: float, moment: int
) -> None:
    walk = begun(number, count)
    walk.is_superseded = True
    walk.wander(chance, Trouble(chance, rate), cancel_at=moment)
    assert_sound(walk)

    deleting = delete(walk)

    assert deleting.wander(chance, Trouble(chance, rate)).state == Operation.STATE_SUCCEEDED
    assert_nothing_left(deleting)


@any_order
@given(plugins, st.integers(1, 4), st.integers(1, 4), chances, rates, st.integers(0, 80))
def test_a_scale_ends_at_its_counts_or_keeps_what_was_there(
    number: int, before: int, after: int, chance: Random, rate: float, moment: int
) -> None:
    walk = scale(launched(number, before), worker=after)
    old = set(walk.instances())

    conclusion = walk.wander(chance, Trouble(chance, rate), cancel_at=moment)

    event(Operation.State.Name(conclusion.state))
    assert_sound(walk)
    if conclusion.state == Operation.STATE_SUCCEEDED:
        assert_reached(walk)
        assert [each.count for each in walk.cluster.node_groups] == [1, after]
        return
    for name, each in walk.instances().items():
        if name in old:
            leaver = after < before
            assert each.state == Instance.STATE_READY or leaver
            was_left_alone = not any(
                task.begun for task in walk.tasks.values() if task.spec.instance == name
            )
            assert each.state == Instance.STATE_READY or not was_left_alone
        else:
            assert each.state == Instance.STATE_DELETED
    for group in walk.cluster.node_groups:
        ready = [each for each in group.instances if each.state == Instance.STATE_READY]
        assert len(ready) == group.count


@any_order
@given(plugins, chances, rates, st.integers(0, 20), st.integers(0, 1))
def test_a_job_ends_once_and_is_stopped_where_it_may_run(
    number: int, chance: Random, rate: float, moment: int, exit_code: int
) -> None:
    jobs = (FAKE, SPARK)[number].jobs
    walk = run_job(launched(number, 1), jobs[0])
    walk.exit_code = exit_code

    conclusion = walk.wander(chance, Trouble(chance, rate), cancel_at=moment)

    event(Operation.State.Name(conclusion.state))
    assert_sound(walk)
    ends = {
        Job.STATE_SUCCEEDED: Operation.STATE_SUCCEEDED,
        Job.STATE_DONE_WITH_ERROR: Operation.STATE_FAILED,
        Job.STATE_FAILED: Operation.STATE_FAILED,
        Job.STATE_KILLED: Operation.STATE_CANCELLED,
    }
    assert conclusion.state == ends[walk.job_now.state]
    began = walk.state_of("run/start") in (Task.STATE_SUCCEEDED, Task.STATE_FAILED)
    if began and walk.job_now.state in (Job.STATE_FAILED, Job.STATE_KILLED):
        assert walk.keys("stop/run")
    assert walk.cluster.state != Cluster.STATE_ERROR
