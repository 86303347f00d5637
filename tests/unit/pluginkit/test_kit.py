"""What a plugin author builds with: options, views, steps, and what the kit checks by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna_kit.errors import InvalidArgument
from savanna_pluginkit import (
    NO_STATE,
    AnyOption,
    ClusterView,
    InstanceView,
    Plugin,
    Steps,
    address_of,
    file,
    installed,
)
from savanna_pluginkit.conformance import cluster, job, set_config
from savanna_pluginkit.conformance.driving import declared
from savanna_pluginkit.conformance.example import JobExample, config_value
from savanna_pluginkit.servicer import plan, validate
from tests.unit.pluginkit.small import DOMAIN, FAST, MODE, SIZE, THREADS, SmallPlugin


def small() -> Cluster:
    return cluster("small", "1", {"few": (1, ["server"]), "many": (3, ["server"])})


def node() -> InstanceView:
    return ClusterView(declared(small())).instances[0]


def fields(made: Cluster, run: JobExample | None = None) -> list[str]:
    request = pb.ValidateRequest(cluster=made)
    if run is not None:
        request.job.CopyFrom(run.job)
        request.job_template.CopyFrom(run.template)
        request.job_binaries.extend(run.binaries)
    return [each.field for each in validate(SmallPlugin(), request).violations]


@given(st.integers(1, 64))
def test_a_number_is_read_alike_as_number_and_as_text(number: int) -> None:
    assert THREADS.read(config_value(number)) == number
    assert THREADS.read(config_value(str(number))) == number


@pytest.mark.parametrize("value", [True, "true", "TRUE"])
def test_a_truth_value_is_read_alike_as_itself_and_as_text(value: str | bool) -> None:
    assert FAST.read(config_value(value)) is True


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (THREADS, "many", "a whole number"),
        (THREADS, 0, "1 or more"),
        (THREADS, 65, "64 or less"),
        (FAST, "perhaps", "true or false"),
        (MODE, "three", "one of one, two"),
        (SIZE, "big", "a size like 4g"),
        (DOMAIN, "a\nb", "one line of text"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_is_expected(
    option: AnyOption, value: str | int, expected: str
) -> None:
    with pytest.raises(ValueError, match=f"expected {expected}"):
        option.read(config_value(value))


def test_the_value_of_a_group_wins_over_the_value_of_the_cluster_and_that_over_the_default() -> (
    None
):
    made = small()
    few, many = ClusterView(made).groups
    assert (few.get(THREADS), many.get(THREADS)) == (2, 2)
    set_config(made.cluster_configs, "Small", "threads", 8)
    set_config(made.node_groups[1].spec.node_configs, "Small", "threads", "16")
    few, many = ClusterView(made).groups
    assert (few.get(THREADS), many.get(THREADS)) == (8, 16)
    assert few.field_of(THREADS) == "cluster_configs.Small.threads"
    assert many.field_of(THREADS) == "node_groups[1].node_configs.Small.threads"
    assert many.given("Small") == {"threads": "16"}


def test_an_option_of_the_cluster_is_not_read_from_a_group() -> None:
    made = small()
    set_config(made.node_groups[0].spec.node_configs, "general", "domain", "elsewhere")
    assert ClusterView(made).groups[0].get(DOMAIN) == ""


def test_looking_at_a_cluster_does_not_change_it() -> None:
    made = small()
    before = made.SerializeToString(deterministic=True)
    view = ClusterView(made)
    view.groups[0].get(THREADS)
    view.given("Small")
    view.groups[0].given("nothing")
    assert made.SerializeToString(deterministic=True) == before


def test_those_that_leave_are_told_from_those_that_stay() -> None:
    made = declared(small())
    made.node_groups[1].instances[2].state = Instance.STATE_LEAVING
    view = ClusterView(made)
    assert [each.name for each in view.leaving] == ["c1-many-2"]
    assert len(view.running("server")) == 3
    assert view.count("server") == 4


def test_the_kit_refuses_unknown_processes_versions_and_values_by_itself() -> None:
    made = small()
    made.node_groups[1].spec.node_processes.append("client")
    set_config(made.cluster_configs, "Small", "size", "big")
    set_config(made.node_groups[0].spec.node_configs, "Small", "fast", "perhaps")
    assert fields(made) == [
        "node_groups[1].node_processes",
        "node_groups[0].node_configs.Small.fast",
        "cluster_configs.Small.size",
    ]
    made.plugin_version = "2"
    assert fields(made) == ["plugin_version"]


def test_the_kit_refuses_jobs_of_unknown_types_or_without_what_they_need() -> None:
    made = small()
    assert fields(made, job("Shell", mains=["a"], configs={"who": "me"})) == []
    assert fields(made, job("Pig", mains=["a"])) == ["job_template_id"]
    wrong = job("Shell", mains=["a"], configs={"tries": 0})
    assert fields(made, wrong) == ["configs.configs.who", "configs.configs.tries"]


def test_a_step_has_its_own_key_and_needs_only_steps_of_its_plan() -> None:
    steps = Steps()
    key = steps.put_files("a", on=node(), title="A", files=[file("x", "y")])
    assert steps.among(key, "b") == ["a"]
    with pytest.raises(ValueError, match="used twice"):
        steps.put_files("a", on=node(), title="A", files=[])
    with pytest.raises(ValueError, match="201 characters"):
        steps.put_files("a" * 201, on=node(), title="A", files=[])
    steps.put_files("b", on=node(), title="B", files=[], needs=["c"])
    with pytest.raises(ValueError, match="not steps of this plan"):
        steps.response()


def test_a_step_carries_what_it_was_given() -> None:
    steps = Steps()
    steps.run_script(
        "a",
        on=node(),
        title="A",
        text="exit 0\n",
        environment={"ME": address_of(node()), "WORD": "w"},
        files=[file("x", "y", mode=0o600)],
        tries=5,
        timeout=1.5,
        patience=60,
        reaches=NO_STATE,
    )
    steps.tell("Small", "Page", "http://x")
    response = steps.response()
    (step,) = response.steps
    assert step.run_script.environment["ME"].address_of == "c1-few-0"
    assert step.run_script.environment["WORD"].literal == "w"
    assert step.run_script.files[0] == pb.File(path="x", content=b"y", mode=0o600)
    assert step.retry.max_attempts == 5
    assert (step.timeout.ToTimedelta().total_seconds(), step.patience.seconds) == (1.5, 60)
    assert dict(response.info.sections["Small"].values) == {"Page": "http://x"}


def test_a_plan_that_tells_nothing_leaves_the_info_as_it_is() -> None:
    assert not Steps().response().HasField("info")


def test_a_job_has_one_program() -> None:
    steps = Steps()
    steps.run_job("run", on=node(), title="Run", text="exit 0\n")
    with pytest.raises(ValueError, match="one run_job step"):
        steps.run_job("again", on=node(), title="Run", text="exit 0\n")


def test_a_file_too_large_for_a_plan_is_refused() -> None:
    with pytest.raises(ValueError, match="job binaries"):
        file("x", b"0" * (2**20 + 1))


def test_a_goal_that_no_plugin_has_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="GOAL_DELETE"):
        plan(SmallPlugin(), pb.PlanRequest(goal=Operation.GOAL_DELETE, cluster=small()))


def test_a_plugin_without_jobs_says_so() -> None:
    class Jobless(SmallPlugin):
        plan_job = Plugin.plan_job

    run = job("Shell", mains=["a"])
    request = pb.PlanRequest(
        goal=Operation.GOAL_RUN_JOB, cluster=small(), job=run.job, job_template=run.template
    )
    with pytest.raises(InvalidArgument, match="runs no jobs of type Shell"):
        plan(Jobless(), request)


def test_installed_plugins_are_found_by_their_entry_points() -> None:
    found = installed()
    assert {"fake", "spark"} <= found.keys()
    assert {name: kind().about.name for name, kind in found.items()} == {
        name: name for name in found
    }
