"""What the conformance suite asks the Spark plugin about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_pluginkit.conformance import Example, Refused, cluster, job, set_config

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import Cluster


def _no_master(changed: Cluster) -> None:
    del changed.node_groups[0]


def _two_masters(changed: Cluster) -> None:
    changed.node_groups[0].count = 2


def _no_workers(changed: Cluster) -> None:
    changed.node_groups[1].count = 0


def _history_elsewhere(changed: Cluster) -> None:
    changed.node_groups[0].spec.node_processes[:] = ["master"]
    changed.node_groups[1].spec.node_processes.append("history server")


def _memory_without_unit(changed: Cluster) -> None:
    configs = changed.node_groups[1].spec.node_configs
    set_config(configs, "Spark", "Worker memory", "lots")


EXAMPLE = Example(
    cluster=cluster(
        "spark",
        "4.3",
        {"master": (1, ["master", "history server"]), "worker": (3, ["worker"])},
    ),
    elastic="worker",
    refused=(
        Refused(_no_master, "node_groups"),
        Refused(_two_masters, "node_groups[0].count"),
        Refused(_no_workers, "node_groups"),
        Refused(_history_elsewhere, "node_groups[1].node_processes"),
        Refused(_memory_without_unit, "node_groups[1].node_configs.Spark.Worker memory"),
    ),
    jobs=(
        job(
            "Spark",
            mains=["pi.jar"],
            configs={"edp.java.main_class": "demo.SparkPi", "spark.executor.memory": "1g"},
            args=["10", "it's; $HOME"],
        ),
        job("Spark", mains=["count.py"], libs=["tools.py", "more.jar"], args=["/etc/passwd"]),
        job("PySpark", mains=["count"]),
        job("Shell", mains=["main.sh"], params={"NAME": "a b"}, args=["x"]),
        job(
            "Spark",
            mains=["pi.jar"],
            wrong_field="configs.configs.edp.java.main_class",
        ),
        job("Shell", mains=["main.sh"], params={"a b": 1}, wrong_field="configs.params.a b"),
        job("PySpark", wrong_field="job_template_id"),
        job("Hive", mains=["a.sql"], wrong_field="job_template_id"),
    ),
)
