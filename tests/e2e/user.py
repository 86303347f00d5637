"""What a user does, in few words: clusters of the fake plugin, launched, watched and counted."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna.cluster.v1.cluster_pb2 import Cluster, Instance, NodeGroup
from savanna.operation.v1.operation_pb2 import (
    ON_FAILURE_UNSPECIFIED,
    Attempt,
    OnFailure,
    Operation,
    Task,
)
from savanna_pluginkit.conformance import set_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from savanna.cluster.v1 import cloud_pb2
    from savanna.operation.v1.operation_pb2 import TaskHistory
    from savanna_client import Client


class User:
    """A user of the public API, with clusters of the fake plugin."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def launch(
        self,
        name: str,
        workers: int,
        configs: Mapping[str, str | int] | None = None,
        *,
        on_failure: OnFailure.ValueType = ON_FAILURE_UNSPECIFIED,
        min_ready: int | None = None,
    ) -> clusters.CreateClusterResponse:
        """Ask for one main node and some workers."""
        offered = (await self.client.catalog.GetCloud(catalog.GetCloudRequest())).cloud
        wanted = fake_cluster(name, workers, offered)
        if min_ready is not None:
            wanted.node_groups[1].spec.node_policy.min_ready = min_ready
        for key, value in (configs or {}).items():
            set_config(wanted.cluster_configs, "general", key, value)
        return await self.client.clusters.CreateCluster(
            clusters.CreateClusterRequest(cluster=wanted, on_failure=on_failure)
        )

    async def scale(self, name: str, workers: int) -> Operation:
        """Ask for another number of workers, and wait until they are there."""
        return await self.client.wait((await self.begin_scale(name, workers)).id)

    async def begin_scale(self, name: str, workers: int) -> Operation:
        """Ask for another number of workers."""
        answer = await self.client.clusters.ScaleCluster(
            clusters.ScaleClusterRequest(
                id=name, node_groups=[NodeGroup(name="worker", count=workers)]
            )
        )
        return answer.operation

    async def delete(self, name: str) -> Operation:
        """Ask for the end of a cluster, and wait for it."""
        answer = await self.client.clusters.DeleteCluster(clusters.DeleteClusterRequest(id=name))
        return await self.client.wait(answer.operation.id)

    async def cluster(self, name: str) -> Cluster:
        """Read a cluster."""
        return (await self.client.clusters.GetCluster(clusters.GetClusterRequest(id=name))).cluster

    async def history(self, operation: Operation) -> list[TaskHistory]:
        """Read the tasks of an operation with their attempts."""
        answer = await self.client.operations.GetOperation(
            clusters.GetOperationRequest(id=operation.id)
        )
        return list(answer.tasks)


def bare_cluster(name: str, plugin: str, version: str, offered: cloud_pb2.CloudCatalog) -> Cluster:
    """Describe a cluster that has no groups yet, on the plugin's image and the first network."""
    image = next(each for each in offered.images if plugin in each.tags)
    return Cluster(
        name=name,
        plugin_name=plugin,
        plugin_version=version,
        default_image_id=image.id,
        neutron_management_network=offered.networks[0].id,
    )


def fake_cluster(name: str, workers: int, offered: cloud_pb2.CloudCatalog) -> Cluster:
    """Describe a cluster of the fake plugin on what a cloud offers."""
    wanted = bare_cluster(name, "fake", "0.1", offered)
    for group, count, processes in (
        ("main", 1, ["namenode", "jobtracker"]),
        ("worker", workers, ["datanode", "tasktracker"]),
    ):
        node_group = wanted.node_groups.add(name=group, count=count)
        node_group.spec.flavor_id = offered.flavors[0].id
        node_group.spec.node_processes.extend(processes)
    return wanted


def instances(cluster: Cluster) -> list[Instance]:
    """List the hosts of a cluster."""
    return [each for group in cluster.node_groups for each in group.instances]


def share_of_ssh(history: list[TaskHistory]) -> dict[str, float]:
    """Give the part of the steps on hosts that each engine did."""
    done = Counter(
        attempt.engine_id
        for each in history
        if each.task.spec.pool == "ssh"
        for attempt in each.attempts
        if attempt.outcome == Attempt.OUTCOME_SUCCEEDED
    )
    return {engine: count / done.total() for engine, count in done.items()}


def unfinished(history: list[TaskHistory]) -> Iterator[str]:
    """List tasks that neither succeeded nor were given up as unwanted."""
    for each in history:
        if each.task.state not in (Task.STATE_SUCCEEDED, Task.STATE_SKIPPED):
            yield f"{each.task.spec.key}: {Task.State.Name(each.task.state)}"
