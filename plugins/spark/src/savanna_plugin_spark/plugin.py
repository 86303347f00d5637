"""Spark in standalone mode: a master, any number of workers, a history server beside the master."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_plugin_spark import conf, jobs, options, scripts
from savanna_plugin_spark.about import ABOUT
from savanna_plugin_spark.topology import check_topology
from savanna_pluginkit import (
    CONFIGURED,
    NO_STATE,
    READY,
    InvalidArgument,
    Plugin,
    address_of,
    file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_pluginkit import (
        About,
        ClusterView,
        GroupView,
        InstanceView,
        JobView,
        Problems,
        Steps,
    )

_START_SECONDS = 180
_DECOMMISSION_SECONDS = 60

_CLASSES = {
    options.MASTER: "org.apache.spark.deploy.master.Master",
    options.WORKER: "org.apache.spark.deploy.worker.Worker",
    options.HISTORY_SERVER: "org.apache.spark.deploy.history.HistoryServer",
}
_READY_LINES = {
    options.MASTER: "I have been elected leader",
    options.WORKER: "Successfully registered with master",
    options.HISTORY_SERVER: "Bound HistoryServer",
}
_ORDER = (options.MASTER, options.WORKER, options.HISTORY_SERVER)


class SparkPlugin(Plugin):
    """Knows Apache Spark 4 in standalone mode."""

    @property
    def about(self) -> About:
        """Say what the plugin is."""
        return ABOUT

    def validate(
        self, cluster: ClusterView, current: ClusterView | None, problems: Problems
    ) -> None:
        """Check numbers and places of the processes."""
        check_topology(cluster, current, problems)

    def validate_job(self, cluster: ClusterView, job: JobView, problems: Problems) -> None:
        """Check that there is a program and that Spark knows how to run it."""
        del cluster
        jobs.validate(job, problems)

    def ports(self, group: GroupView) -> Sequence[int]:
        """List the ports of the processes, and of the first application's page."""
        found = []
        for process in group.processes:
            ports = _ports(group.cluster, process)
            found += [int(each) for each in ports.values()]
        return [*found, 4040] if group.runs(options.MASTER) else found

    def plan(self, cluster: ClusterView, steps: Steps) -> None:
        """Configure and start what is new, the master first; let what leaves hand over."""
        for each in cluster.staying:
            if each.needs_configuring:
                _configure(steps, each)
        masters = cluster.running(options.MASTER)
        if not masters:
            raise InvalidArgument(f"the cluster {cluster.name} has no master; delete it")
        for process in _ORDER:
            for each in cluster.running(process):
                if each.needs_starting:
                    _start(steps, each, process, masters[0])
        for each in cluster.leaving:
            if each.runs(options.WORKER):
                _decommission(steps, each)
        _tell(cluster, steps)

    def plan_job(self, cluster: ClusterView, job: JobView, steps: Steps) -> None:
        """Run a program on the master's node."""
        jobs.plan(cluster, job, steps)


def _configure(steps: Steps, instance: InstanceView) -> None:
    steps.run_script(
        f"configure/{instance.name}",
        on=instance,
        title="Push configs to nodes",
        text=scripts.read("configure"),
        environment={"OWN_ADDRESS": address_of(instance)},
        files=[
            file("spark-defaults.conf", conf.spark_defaults(instance.group)),
            file("spark-env.sh", conf.spark_env(instance.group)),
        ],
        reaches=CONFIGURED,
    )


def _start(steps: Steps, instance: InstanceView, process: str, master: InstanceView) -> None:
    cluster = instance.group.cluster
    others = [each for each in _ORDER if instance.runs(each) and each != process]
    is_last = not [each for each in others if _ORDER.index(each) > _ORDER.index(process)]
    needs = [f"configure/{instance.name}"]
    if process != options.MASTER:
        needs.append(_start_key(master, options.MASTER))
    if is_last:
        # The node is ready when all of its processes are.
        needs += [_start_key(instance, each) for each in others]
    steps.run_script(
        _start_key(instance, process),
        on=instance,
        title=f"Start the following process(es): {process}",
        text=scripts.read("start"),
        environment={
            "NAME": process.replace(" ", "-"),
            "CLASS": _CLASSES[process],
            "READY": _READY_LINES[process],
            "MASTER_ADDRESS": address_of(master),
            "MASTER_PORT": str(cluster.get(options.MASTER_PORT)),
            **_ports(cluster, process),
        },
        needs=steps.among(*dict.fromkeys(needs)),
        reaches=READY if is_last else NO_STATE,
        timeout=_START_SECONDS,
    )


def _start_key(instance: InstanceView, process: str) -> str:
    return f"start/{process.replace(' ', '-')}/{instance.name}"


def _decommission(steps: Steps, instance: InstanceView) -> None:
    steps.run_script(
        f"decommission/{instance.name}",
        on=instance,
        title="Decommission workers",
        text=scripts.read("decommission"),
        timeout=_DECOMMISSION_SECONDS,
        patience=instance.group.cluster.get(options.DECOMMISSION_TIMEOUT),
    )


def _ports(cluster: ClusterView, process: str) -> dict[str, str]:
    if process == options.MASTER:
        found = {"PORT": options.MASTER_PORT, "UI_PORT": options.MASTER_UI_PORT}
    elif process == options.WORKER:
        found = {"PORT": options.WORKER_PORT, "UI_PORT": options.WORKER_UI_PORT}
    else:
        found = {"UI_PORT": options.HISTORY_UI_PORT}
    return {name: str(cluster.get(option)) for name, option in found.items()}


def _tell(cluster: ClusterView, steps: Steps) -> None:
    for each in cluster.running(options.MASTER):
        if each.public_address:
            port = cluster.get(options.MASTER_UI_PORT)
            steps.tell("Spark", "Web UI", f"http://{each.public_address}:{port}")
            master = f"spark://{each.address}:{cluster.get(options.MASTER_PORT)}"
            steps.tell("Spark", "Master", master)
    for each in cluster.running(options.HISTORY_SERVER):
        if each.public_address:
            port = cluster.get(options.HISTORY_UI_PORT)
            address = f"http://{each.public_address}:{port}"
            steps.tell("Spark", "Spark History Server UI", address)
