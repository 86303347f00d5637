"""What the conformance suite asks the fake plugin about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_pluginkit.conformance import Example, Refused, cluster, job, set_config

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import Cluster


def _slow_by_a_word(changed: Cluster) -> None:
    set_config(changed.cluster_configs, "general", "fake.delay.start", "long")


def _unprintable(changed: Cluster) -> None:
    configs = changed.node_groups[1].spec.node_configs
    set_config(configs, "general", "fake.fail.message", "it's broken")


def _unknown_process(changed: Cluster) -> None:
    changed.node_groups[1].spec.node_processes.append("regionserver")


def _unknown_version(changed: Cluster) -> None:
    changed.plugin_version = "0.0"


EXAMPLE = Example(
    cluster=cluster(
        "fake",
        "0.1",
        {
            "master": (1, ["namenode", "jobtracker"]),
            "worker": (3, ["datanode", "tasktracker"]),
        },
    ),
    elastic="worker",
    refused=(
        Refused(_slow_by_a_word, "cluster_configs.general.fake.delay.start"),
        Refused(_unprintable, "node_groups[1].node_configs.general.fake.fail.message"),
        Refused(_unknown_process, "node_groups[1].node_processes"),
        Refused(_unknown_version, "plugin_version"),
    ),
    jobs=(
        job("Pig", mains=["script.pig"], args=["in", "it's out"]),
        job("Shell", mains=["main.sh"], configs={"fake.job.exit_code": 3}),
        job(
            "Shell",
            mains=["main.sh"],
            configs={"fake.job.exit_code": 300},
            wrong_field="configs.configs.fake.job.exit_code",
        ),
        job("Cobol", mains=["main.cob"], wrong_field="job_template_id"),
    ),
)
