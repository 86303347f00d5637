"""The fake plugin does as its options say, in words that any host understands."""

from __future__ import annotations

import re
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna_plugin_fake.example import EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_pluginkit.conformance import job, set_config
from savanna_pluginkit.conformance.driving import declared, instances
from savanna_pluginkit.servicer import plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_pluginkit.conformance import JobExample

_LINE = re.compile(r"(sleep [0-9.]+|echo [A-Za-z0-9 .,:_/-]*|exit [0-9]+)")


def scripted(**options: str | int) -> Cluster:
    """Make a cluster; ``fail__phase="start"`` sets ``fake.fail.phase``."""
    cluster = declared(EXAMPLE.cluster)
    for name, value in options.items():
        set_config(cluster.cluster_configs, "general", f"fake.{name.replace('__', '.')}", value)
    return cluster


def steps(cluster: Cluster) -> Mapping[str, pb.Step]:
    request = pb.PlanRequest(goal=Operation.GOAL_LAUNCH, cluster=cluster)
    return {each.key: each for each in plan(FakePlugin(), request).steps}


def program(cluster: Cluster, run: JobExample) -> pb.Step:
    request = pb.PlanRequest(
        goal=Operation.GOAL_RUN_JOB,
        cluster=cluster,
        job=run.job,
        job_template=run.template,
        job_binaries=run.binaries,
    )
    (step,) = plan(FakePlugin(), request).steps
    return step


def shell(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-eu", "-c", text], capture_output=True, text=True, check=False, timeout=10
    )


def test_its_name_version_and_processes_are_saharas() -> None:
    about = FakePlugin().about.describe()
    (version,) = about.versions
    assert (about.name, about.title, version.version) == ("fake", "Fake Plugin", "0.1")
    assert {each.service: list(each.processes) for each in version.services} == {
        "HDFS": ["namenode", "datanode"],
        "MapReduce": ["tasktracker", "jobtracker"],
        "Kerberos": [],
    }
    assert list(version.required_image_tags) == ["fake", "0.1"]
    assert about.labels["hidden"].status
    assert "Enable NTP service" in {each.name for each in version.configs}
    assert {"Hive", "Pig", "Spark", "Storm.Pyleus"} <= {each.name for each in version.job_types}


def test_every_node_is_configured_then_started_after_the_name_node() -> None:
    found = steps(scripted())
    assert set(found) == {
        f"{phase}/c1-{node}"
        for phase in ("configure", "start")
        for node in ("master-0", "worker-0", "worker-1", "worker-2")
    }
    assert list(found["start/c1-worker-1"].needs) == [
        "configure/c1-worker-1",
        "start/c1-master-0",
    ]
    assert found["configure/c1-worker-1"].reaches == Instance.STATE_CONFIGURED
    assert found["start/c1-worker-1"].reaches == Instance.STATE_READY
    environment = found["start/c1-worker-1"].run_script.environment
    assert environment["NAMENODE_0"].address_of == "c1-master-0"


def test_its_scripts_have_only_lines_that_simulated_hosts_run() -> None:
    cluster = scripted(delay__start=5, fail__phase="start", fail__message="no space left")
    texts = [each.run_script.text for each in steps(cluster).values()]
    texts.append(program(cluster, job("Pig", mains=["a"], args=["in", "it's"])).run_job.text)
    for text in texts:
        assert all(_LINE.fullmatch(line) for line in text.splitlines()), text


def test_only_the_named_instances_fail_in_the_named_phase() -> None:
    found = steps(
        scripted(
            fail__phase="start",
            fail__instances="*-worker-1",
            fail__exit_code=9,
            fail__message="no space left",
        )
    )
    results = {key: shell(each.run_script.text) for key, each in found.items()}
    failed = {key: each for key, each in results.items() if each.returncode}
    assert list(failed) == ["start/c1-worker-1"]
    assert failed["start/c1-worker-1"].returncode == 9
    assert failed["start/c1-worker-1"].stdout.splitlines()[-1] == "no space left"


def test_a_phase_takes_as_long_as_it_is_told() -> None:
    text = steps(scripted(delay__configure=300))["configure/c1-worker-0"].run_script.text
    begun = time.monotonic()
    assert shell(text).returncode == 0
    assert time.monotonic() - begun >= 0.3


def test_limits_of_a_script_are_scripted_too() -> None:
    step = steps(scripted(timeout=7, patience=8, tries=9))["start/c1-worker-0"]
    assert (step.timeout.seconds, step.patience.seconds, step.retry.max_attempts) == (7, 8, 9)


def test_a_node_that_leaves_is_decommissioned() -> None:
    cluster = scripted()
    for each in instances(cluster):
        each.state = Instance.STATE_READY
    cluster.node_groups[1].instances[2].state = Instance.STATE_LEAVING
    assert list(steps(cluster)) == ["decommission/c1-worker-2"]


@pytest.mark.parametrize(
    ("configs", "exit_code", "last_line"),
    [
        ({}, 0, "argument x"),
        ({"fake.job.exit_code": 4}, 4, "argument x"),
        ({"fake.job.message": "the result: 42"}, 0, "the result: 42"),
    ],
)
def test_a_job_prints_and_ends_as_it_is_told(
    configs: dict[str, str | int | bool], exit_code: int, last_line: str
) -> None:
    step = program(scripted(), job("Shell", mains=["a"], configs=configs, args=["x"]))
    ended = shell(step.run_job.text)
    assert step.instance == "c1-master-0"
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (exit_code, last_line)


def test_a_cluster_can_make_its_jobs_fail() -> None:
    step = program(scripted(fail__phase="job"), job("Shell", mains=["a"]))
    assert shell(step.run_job.text).returncode == 1
