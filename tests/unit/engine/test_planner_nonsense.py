"""Plugins that answer what can not be carried out."""

from __future__ import annotations

from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse, Script
from savanna_plugin_fake.example import EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from tests.unit.engine.beginnings import launch, run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna.plugin.v1.plugin_service_pb2 import Step
    from savanna_engine.planner.answer import Refusal
    from tests.unit.engine.walk import Walk

    Spoil = Callable[[PlanResponse], object]

STEP = "configure/c1-worker-1"


def step(response: PlanResponse) -> Step:
    return next(each for each in response.steps if each.key == STEP)


def spoilt(walk: Walk, spoil: Spoil, *, always: bool = False) -> Walk:
    plain = walk.reply

    def reply(request: PlanRequest) -> PlanResponse | Refusal:
        response = plain(request)
        if isinstance(response, PlanResponse) and (always or response.steps):
            spoil(response)
        return response

    walk.reply = reply
    return walk


def address_of_nobody(response: PlanResponse) -> None:
    step(response).run_script.environment["X"].address_of = "c1-ghost-0"


def circle(response: PlanResponse) -> None:
    step(response).needs.append("start/c1-worker-1")


def job_in_a_launch(response: PlanResponse) -> None:
    step(response).run_job.CopyFrom(Script(text=":"))


def large_file(response: PlanResponse) -> None:
    step(response).run_script.files.add(path="big", content=bytes(2**20 + 1))


FAULTS: dict[str, tuple[Spoil, str]] = {
    "an unknown instance": (lambda r: setattr(step(r), "instance", "c1-ghost-0"), "'c1-ghost-0'"),
    "no instance": (lambda r: setattr(step(r), "instance", ""), STEP),
    "the address of nobody": (address_of_nobody, "'c1-ghost-0'"),
    "an unknown need": (lambda r: step(r).needs.append("start/ghost"), "'start/ghost'"),
    "a key used twice": (lambda r: r.steps.append(step(r)), "2 times"),
    "a circle": (circle, "waits for itself"),
    "a need of itself": (lambda r: step(r).needs.append(STEP), "waits for itself"),
    "no key": (lambda r: r.steps.add(instance="c1-worker-1", run_script=Script()), "0 characters"),
    "a key that can not be printed": (
        lambda r: r.steps.add(key="x\0y", instance="c1-worker-1", run_script=Script()),
        "can not be printed",
    ),
    "a key of Savanna's": (
        lambda r: r.steps.add(
            key="create/c1-worker-1", instance="c1-worker-1", run_script=Script()
        ),
        "Savanna uses itself",
    ),
    "nothing to do": (lambda r: step(r).ClearField("run_script"), "does nothing"),
    "a job in a launch": (job_in_a_launch, "runs a job"),
    "a state that is not the plugin's": (
        lambda r: setattr(step(r), "reaches", Instance.STATE_DELETED),
        "STATE_DELETED",
    ),
    "a file that is too large": (large_file, "more than 1 MiB"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_plan_that_can_not_be_carried_out_names_plugin_and_step(name: str) -> None:
    spoil, told = FAULTS[name]
    walk = spoilt(launch(FakePlugin(), EXAMPLE.cluster), spoil)

    conclusion = walk.finish()

    assert (conclusion.state, conclusion.failure.reason) == (
        Operation.STATE_FAILED,
        "PLUGIN_FAULT",
    )
    assert "plugin 'fake'" in conclusion.failure.message
    assert told in conclusion.failure.message
    assert not walk.tasks


def test_a_plan_larger_than_any_message_is_the_plugins_fault() -> None:
    def many_files(response: PlanResponse) -> None:
        for number in range(12):
            more = response.steps.add(key=f"more-{number}", instance="c1-master-0")
            for name in "abc":
                more.run_script.files.add(path=name, content=bytes(2**20 - 1000))

    conclusion = spoilt(launch(FakePlugin(), EXAMPLE.cluster), many_files).finish()

    assert conclusion.failure.reason == "PLUGIN_FAULT"
    assert "more than 32 MiB" in conclusion.failure.message


def renaming(walk: Walk) -> Walk:
    """Have the plugin give its steps other keys each time."""
    times = count(1)

    def rename(response: PlanResponse) -> None:
        number = next(times)
        for each in response.steps:
            each.key = f"{each.key}/{number}"
            each.needs[:] = [f"{need}/{number}" for need in each.needs]

    return spoilt(walk, rename)


def test_a_plugin_that_gives_other_keys_for_the_same_facts_comes_to_an_end() -> None:
    times = count()

    def never_content(response: PlanResponse) -> None:
        response.steps.add(
            key=f"again/{next(times)}", instance="c1-master-0", run_script=Script(text=":")
        )

    walk = launch(FakePlugin(), EXAMPLE.cluster, worker=1)
    spoilt(walk, never_content, always=True)
    conclusion = walk.finish()

    assert conclusion.state == Operation.STATE_FAILED
    assert "the same facts must give the same keys" in conclusion.failure.message
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances()), "nothing is left"


def test_a_plugin_that_forgets_its_steps_at_random_comes_to_an_end() -> None:
    chance = Random(1)

    def forget(response: PlanResponse) -> None:
        kept = [each for each in response.steps if chance.random() < 0.7]
        keys = {each.key for each in kept}
        del response.steps[:]
        response.steps.extend(kept)
        for each in response.steps:
            each.needs[:] = [need for need in each.needs if need in keys]

    conclusion = spoilt(launch(FakePlugin(), EXAMPLE.cluster), forget).finish()

    assert conclusion.state == Operation.STATE_SUCCEEDED


def test_the_program_of_a_job_runs_once_whatever_the_plugin_calls_it() -> None:
    cluster = launch(FakePlugin(), EXAMPLE.cluster)
    cluster.finish()
    walk = renaming(run_job(cluster, EXAMPLE.jobs[0]))
    walk.plan()
    walk.do(*walk.able())
    # Its scheduler was lost: whoever takes over plans again.
    walk.let_time_pass(1.0)
    walk.plan()

    conclusion = walk.finish()

    assert walk.keys("run") == ["run/1/await", "run/1/start"]
    assert conclusion.failure.reason == "PLUGIN_FAULT"


def test_a_plan_that_goes_wrong_midway_leads_back() -> None:
    walk = launch(FakePlugin(), EXAMPLE.cluster, worker=2)
    walk.plan()
    walk.do("prepare-cluster", "create/c1-worker-1")
    walk.begin("create/c1-worker-0")
    walk.fail("create/c1-worker-0")
    spoilt(walk, circle)

    conclusion = walk.finish()

    assert conclusion.state == Operation.STATE_FAILED
    assert "waits for itself" in conclusion.failure.message
    assert set(walk.names(Instance.STATE_DELETED)) == set(walk.instances())


def other_job(response: PlanResponse) -> None:
    response.steps.add(key="more", instance="c1-master-0", run_job=Script(text=":"))


def same_name(response: PlanResponse) -> None:
    response.steps.add(key="run/start", instance="c1-master-0", run_script=Script(text=":"))


def state_in_a_job(response: PlanResponse) -> None:
    response.steps[0].reaches = Instance.STATE_READY


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (other_job, "2 steps that run the job"),
        (lambda response: response.ClearField("steps"), "0 steps that run the job"),
        (same_name, "'run/start' is used 2 times"),
        (state_in_a_job, "STATE_READY"),
    ],
)
def test_a_plan_of_a_job_that_makes_no_sense_fails_it(spoil: Spoil, told: str) -> None:
    cluster = launch(FakePlugin(), EXAMPLE.cluster)
    cluster.finish()
    walk = spoilt(run_job(cluster, EXAMPLE.jobs[0]), spoil)

    conclusion = walk.finish()

    assert conclusion.failure.reason == "PLUGIN_FAULT"
    assert told in conclusion.failure.message
