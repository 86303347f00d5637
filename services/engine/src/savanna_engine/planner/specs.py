"""Tasks, written out: keys, pools, needs, times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration

from savanna.engine.v1.step_pb2 import StepBody
from savanna.operation.v1.operation_pb2 import RetryPolicy, TaskSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1.cluster_pb2 import Cluster, Instance, NodeGroup
    from savanna.plugin.v1.plugin_service_pb2 import Step
    from savanna_engine.planner.answer import Limits

PREPARE = "prepare-cluster"
REMOVE = "remove-cluster"
_DELETE_ATTEMPTS = 20


def seconds(value: float) -> Duration:
    """Give a duration."""
    duration = Duration()
    duration.FromMicroseconds(int(value * 1_000_000))
    return duration


def _body(cluster: Cluster) -> StepBody:
    return StepBody(cluster_id=cluster.id, project_id=cluster.project_id)


def prepare(cluster: Cluster, ports: Sequence[int]) -> TaskSpec:
    """Make what all servers share."""
    body = _body(cluster)
    body.prepare_cluster.cluster_name = cluster.name
    body.prepare_cluster.public_key = cluster.management_public_key
    body.prepare_cluster.ports.extend(ports)
    return TaskSpec(
        key=PREPARE,
        kind="prepare_cluster",
        pool="cloud",
        title="Prepare the cluster",
        body=body.SerializeToString(deterministic=True),
        timeout=seconds(120),
    )


def create(cluster: Cluster, group: NodeGroup, instance: Instance, deployment_id: str) -> TaskSpec:
    """Make a server."""
    body = _body(cluster)
    body.reaches = instance.STATE_CREATED
    step = body.create_server
    step.instance.CopyFrom(instance)
    # Field by field: a copy of the whole would copy all instances for each of them.
    step.node_group.name = group.name
    step.node_group.id = group.id
    step.node_group.spec.CopyFrom(group.spec)
    step.node_group.spec.image_id = group.spec.image_id or cluster.default_image_id
    step.public_key = cluster.management_public_key
    step.network_id = cluster.neutron_management_network
    step.cluster_name = cluster.name
    step.deployment_id = deployment_id
    return TaskSpec(
        key=f"create/{instance.name}",
        kind="create_server",
        pool="cloud",
        title="Create servers",
        instance=instance.name,
        needs=[PREPARE],
        body=body.SerializeToString(deterministic=True),
        timeout=seconds(120),
    )


def wait(cluster: Cluster, instance: Instance, limits: Limits, needs: Sequence[str]) -> TaskSpec:
    """Wait until a server answers."""
    body = _body(cluster)
    body.reaches = instance.STATE_REACHABLE
    body.await_server.instance_id = instance.id
    body.await_server.instance_name = instance.name
    return TaskSpec(
        key=f"await/{instance.name}",
        kind="await_server",
        pool="ssh",
        title="Wait for servers",
        instance=instance.name,
        needs=needs,
        body=body.SerializeToString(deterministic=True),
        timeout=seconds(60),
        patience=seconds(limits.boot_patience),
    )


def delete(
    cluster: Cluster, instance: Instance, limits: Limits, needs: Sequence[str] = ()
) -> TaskSpec:
    """Remove a server."""
    body = _body(cluster)
    body.reaches = instance.STATE_DELETED
    body.delete_server.instance_id = instance.id
    body.delete_server.instance_name = instance.name
    return TaskSpec(
        key=f"delete/{instance.name}",
        kind="delete_server",
        pool="cloud",
        title="Delete servers",
        instance=instance.name,
        needs=needs,
        body=body.SerializeToString(deterministic=True),
        timeout=seconds(120),
        patience=seconds(limits.delete_patience),
        retry=RetryPolicy(max_attempts=_DELETE_ATTEMPTS),
    )


def remove(cluster: Cluster, needs: Sequence[str] = ()) -> TaskSpec:
    """Remove what all servers shared."""
    body = _body(cluster)
    body.remove_cluster.SetInParent()
    return TaskSpec(
        key=REMOVE,
        kind="remove_cluster",
        pool="cloud",
        title="Remove what the servers shared",
        needs=needs,
        body=body.SerializeToString(deterministic=True),
        timeout=seconds(120),
        retry=RetryPolicy(max_attempts=_DELETE_ATTEMPTS),
    )


def job_keys(key: str) -> tuple[str, str]:
    """Name the tasks that start the program of a job and look after it."""
    return f"{key}/start", f"{key}/await"


def script(
    cluster: Cluster, step: Step, limits: Limits, *, key: str, needs: Sequence[str]
) -> TaskSpec:
    """Run a plugin's script."""
    body = _body(cluster)
    body.reaches = step.reaches
    body.run_script.instance_name = step.instance
    body.run_script.script.CopyFrom(step.run_script)
    timeout = step.timeout if step.HasField("timeout") else seconds(limits.script_timeout)
    patience = step.patience if step.HasField("patience") else seconds(limits.script_patience)
    return TaskSpec(
        key=key,
        kind="run_script",
        pool="ssh",
        title=step.title or step.key,
        instance=step.instance,
        needs=needs,
        body=body.SerializeToString(deterministic=True),
        timeout=timeout,
        patience=patience,
        retry=step.retry if step.HasField("retry") else None,
    )
