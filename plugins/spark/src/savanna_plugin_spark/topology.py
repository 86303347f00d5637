"""Which clusters can work: one master, its history server beside it, at least one worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_plugin_spark.options import HISTORY_SERVER, MASTER, WORKER
from savanna_pluginkit import Reason

if TYPE_CHECKING:
    from savanna_pluginkit import ClusterView, Problems


def check_topology(cluster: ClusterView, current: ClusterView | None, problems: Problems) -> None:
    """Note what is wrong; ``current`` is the cluster as it is, for a scale."""
    if current is None:
        _check_master(cluster, problems)
    else:
        _check_scale(cluster, current, problems)
    if cluster.count(WORKER) < 1:
        problems.add(
            "node_groups",
            "Spark cluster should contain 1 or more worker component(s). Actual worker count is "
            f"{cluster.count(WORKER)}; add a group of workers or raise its count.",
            reason=Reason.INVALID_COMPONENT_COUNT,
        )
    _check_history_server(cluster, problems)


def _check_master(cluster: ClusterView, problems: Problems) -> None:
    count = cluster.count(MASTER)
    if count == 1:
        return
    groups = cluster.groups_of(MASTER)
    problems.add(
        f"{groups[-1].field}.count" if groups else "node_groups",
        f"Spark cluster should contain 1 master component(s). Actual master count is {count}; "
        "give the process 'master' to one group with one node.",
        reason=Reason.INVALID_COMPONENT_COUNT,
    )


def _check_scale(cluster: ClusterView, current: ClusterView, problems: Problems) -> None:
    before = {each.name: each.count for each in current.groups}
    for group in cluster.groups_of(MASTER):
        if group.count != before.get(group.name, 0):
            problems.add(
                f"{group.field}.count",
                f"Chosen node group {group.name} cannot be scaled : it runs the master, of which a "
                "Spark cluster has one. Scale a group of workers.",
                reason=Reason.NODE_GROUP_CANNOT_BE_SCALED,
            )


def _check_history_server(cluster: ClusterView, problems: Problems) -> None:
    for group in cluster.groups_of(HISTORY_SERVER):
        if not group.runs(MASTER):
            problems.add(
                f"{group.field}.node_processes",
                "The history server reads what programs leave on the master's node: give the "
                "process 'history server' to the group that runs the master.",
                reason=Reason.INVALID_TOPOLOGY,
            )
