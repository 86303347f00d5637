from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.engine.v1.step_pb2 import StepBody
from savanna.job.v1.job_pb2 import Job
from savanna.operation.v1.operation_pb2 import Operation, Task
from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse, Script
from savanna_engine.planner.answer import Refusal
from savanna_plugin_fake.example import EXAMPLE as FAKE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_plugin_spark.example import EXAMPLE as SPARK
from savanna_plugin_spark.plugin import SparkPlugin
from tests.unit.engine.beginnings import launch, run_job

if TYPE_CHECKING:
    from tests.unit.engine.walk import Walk

SUCCEEDED, FAILED, CANCELLED = (
    Operation.STATE_SUCCEEDED,
    Operation.STATE_FAILED,
    Operation.STATE_CANCELLED,
)


@pytest.fixture
def walk() -> Walk:
    cluster = launch(SparkPlugin(), SPARK.cluster, worker=2)
    cluster.finish()
    return run_job(cluster, SPARK.jobs[0])


def with_preparation(walk: Walk) -> Walk:
    """Run the job between a step before and a step after it."""
    plain = walk.reply

    def reply(request: PlanRequest) -> PlanResponse | Refusal:
        response = plain(request)
        assert isinstance(response, PlanResponse)
        name = response.steps[0].instance
        response.steps[0].needs.append("prepare")
        response.steps.add(key="prepare", instance=name, run_script=Script(text=":"))
        response.steps.add(
            key="tidy", instance=name, needs=[response.steps[0].key], run_script=Script(text=":")
        )
        return response

    walk.reply = reply
    return walk


def test_a_job_is_started_once_looked_after_and_told_of(walk: Walk) -> None:
    walk.plan()
    start, wait = walk.keys("run/")[1], walk.keys("run/")[0]
    assert (start, wait) == ("run/start", "run/await")

    assert walk.finish().state == SUCCEEDED

    bodies = [StepBody.FromString(walk.tasks[key].spec.body) for key in (start, wait)]
    assert bodies[0].start_job.run_key == bodies[1].await_job.run_key == "run"
    assert not walk.tasks[wait].spec.HasField("patience")
    assert walk.job_now.state == Job.STATE_SUCCEEDED
    assert walk.plans == 2


def test_a_job_whose_program_fails_says_its_exit_code(walk: Walk) -> None:
    walk.exit_code = 3

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "JOB_FAILED")
    assert conclusion.failure.exit_code == 3
    assert walk.job_now.state == Job.STATE_DONE_WITH_ERROR


def test_a_plugin_does_not_see_nodes_that_are_gone() -> None:
    cluster = launch(FakePlugin(), FAKE.cluster, worker=1)
    cluster.finish(lambda spec: "TIMED_OUT" if spec.key == "await/c1-master-0" else "")
    walk = run_job(cluster, FAKE.jobs[0])

    walk.plan()

    assert walk.names(Instance.STATE_DELETED) == ["c1-master-0"]
    assert walk.tasks["run/start"].spec.instance == "c1-master-1"


def test_steps_before_and_after_the_program_keep_their_order(walk: Walk) -> None:
    with_preparation(walk)
    walk.plan()

    assert walk.able() == ["prepare"]
    walk.do("prepare", "run/start", "run/await")
    assert walk.able() == ["tidy"]
    assert walk.finish().state == SUCCEEDED


def test_a_cancel_before_the_start_starts_nothing(walk: Walk) -> None:
    with_preparation(walk).plan()
    walk.cancel()

    assert walk.finish().state == CANCELLED

    assert walk.state_of("run/start") == Task.STATE_SKIPPED
    assert walk.job_now.state == Job.STATE_KILLED


def test_a_cancel_before_the_first_plan_ends_at_once(walk: Walk) -> None:
    walk.cancel()

    assert walk.finish().state == CANCELLED

    assert not walk.tasks
    assert walk.job_now.state == Job.STATE_KILLED


def test_a_cancelled_job_is_stopped_on_its_host_before_it_counts_as_killed(walk: Walk) -> None:
    walk.plan()
    walk.do("run/start")
    walk.cancel()
    walk.plan()
    assert walk.job_now.state == Job.STATE_RUNNING

    assert walk.finish().state == CANCELLED

    step = StepBody.FromString(walk.tasks["stop/run"].spec.body).stop_job
    assert (step.run_key, step.instance_name) == ("run", "c1-master-0")
    assert walk.job_now.state == Job.STATE_KILLED


def test_a_cancel_waits_for_a_start_that_is_on_its_way(walk: Walk) -> None:
    walk.plan()
    walk.begin("run/start")
    walk.cancel()

    assert not walk.may_plan()
    walk.stop("run/start")
    assert walk.finish().state == CANCELLED
    assert walk.state_of("stop/run") == Task.STATE_SUCCEEDED


def test_a_cancel_of_a_job_on_a_silent_host_ends_and_says_so(walk: Walk) -> None:
    walk.plan()
    walk.do("run/start")
    walk.cancel()

    conclusion = walk.finish(lambda spec: "HOST_UNREACHABLE" if spec.kind == "stop_job" else "")

    assert conclusion.state == CANCELLED
    assert "c1-master-0 did not answer" in walk.job_now.status_description


def test_a_job_that_ended_before_the_cancel_keeps_its_end(walk: Walk) -> None:
    walk.plan()
    walk.do("run/start", "run/await")
    walk.cancel()

    assert walk.finish().state == SUCCEEDED
    assert walk.job_now.state == Job.STATE_SUCCEEDED


def test_a_job_that_is_lost_sight_of_is_stopped_before_it_fails(walk: Walk) -> None:
    conclusion = walk.finish(lambda spec: "HOST_UNREACHABLE" if spec.kind == "await_job" else "")

    assert (conclusion.state, conclusion.failure.reason) == (FAILED, "HOST_UNREACHABLE")
    assert walk.state_of("stop/run") == Task.STATE_SUCCEEDED
    assert walk.job_now.state == Job.STATE_FAILED


def test_a_job_whose_preparation_fails_never_starts(walk: Walk) -> None:
    conclusion = with_preparation(walk).finish(
        lambda spec: "COMMAND_FAILED" if spec.key == "prepare" else ""
    )

    assert (conclusion.state, conclusion.failure.task_key) == (FAILED, "prepare")
    assert walk.state_of("run/start") == Task.STATE_SKIPPED
    assert "prepare failed" in walk.job_now.status_description


def test_a_job_is_stopped_only_when_its_start_is_over(walk: Walk) -> None:
    plain = walk.reply

    def reply(request: PlanRequest) -> PlanResponse | Refusal:
        response = plain(request)
        assert isinstance(response, PlanResponse)
        response.steps.add(key="beside", instance="c1-worker-0", run_script=Script(text=":"))
        return response

    walk.reply = reply
    walk.plan()
    walk.begin("run/start")
    walk.begin("beside")
    walk.fail("beside")

    walk.plan()
    assert walk.tasks["run/start"].is_unwanted
    assert not walk.keys("stop/")
    walk.stop("run/start")

    assert walk.finish().failure.task_key == "beside"
    assert walk.state_of("stop/run") == Task.STATE_SUCCEEDED


def test_a_cancel_while_a_failed_job_is_stopped_still_stops_it(walk: Walk) -> None:
    walk.plan()
    walk.do("run/start")
    walk.begin("run/await")
    walk.fail("run/await")
    walk.plan()

    walk.cancel()

    assert walk.finish().state == CANCELLED
    assert walk.state_of("stop/run") == Task.STATE_SKIPPED
    assert walk.state_of("stop/run~2") == Task.STATE_SUCCEEDED


def test_a_plugin_that_refuses_a_job_fails_it_with_its_words(walk: Walk) -> None:
    walk.reply = lambda _: Refusal("no master to run it on")

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.message) == (FAILED, "no master to run it on")
    assert walk.job_now.status_description == "no master to run it on"
