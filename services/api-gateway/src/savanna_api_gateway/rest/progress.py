"""How far operations are, as Sahara shows it: steps with their events.

Pure functions.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Operation, Task
from savanna_api_gateway.rest.codecs import shown_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.timestamp_pb2 import Timestamp

    from savanna.cluster.v1.cluster_pb2 import Cluster, Instance, NodeGroup
    from savanna.conductor.v1.cluster_service_pb2 import ProgressStep
    from savanna_api_gateway.rest.schemas import Json

_TYPES = {
    Operation.GOAL_LAUNCH: "Engine: create cluster",
    Operation.GOAL_SCALE: "Engine: scale cluster",
    Operation.GOAL_DELETE: "Engine: delete cluster",
}
_DONE = (Task.STATE_SUCCEEDED, Task.STATE_SKIPPED)
_ENDED = (*_DONE, Task.STATE_FAILED)


def shown_steps(
    cluster: Cluster, steps: Sequence[ProgressStep], *, with_events: bool
) -> list[dict[str, Json]]:
    """Write steps as JSON, in their order."""
    places = {
        key: (each, group)
        for group in cluster.node_groups
        for each in group.instances
        for key in (each.name, each.id)
    }
    return [_step(cluster, each, places if with_events else None) for each in steps]


def _step(
    cluster: Cluster,
    step: ProgressStep,
    places: Mapping[str, tuple[Instance, NodeGroup]] | None,
) -> dict[str, Json]:
    successful = _successful(step.tasks)
    begun = [each.create_time for each in step.tasks if each.HasField("create_time")]
    shown: dict[str, Json] = {
        "created_at": _time(min(begun, key=_nanoseconds, default=None)),
        "updated_at": _time(_latest(step.tasks)),
        "id": step.id,
        "cluster_id": cluster.id,
        "step_name": step.title,
        "step_type": _TYPES.get(step.goal, "Engine: change cluster"),
        "total": len(step.tasks),
        "successful": successful,
    }
    if places is not None:
        shown["events"] = [
            _event(step, each, places) for each in step.tasks if _is_told(each, successful)
        ]
    return {**shown, "project_id": cluster.project_id}


def _successful(tasks: Sequence[Task]) -> bool | None:
    if any(each.state == Task.STATE_FAILED for each in tasks):
        return False
    return True if all(each.state in _DONE for each in tasks) else None


def _is_told(task: Task, successful: bool | None) -> bool:
    # Sahara forgets the events of what went well once the whole step has.
    if successful:
        return False
    return task.state == Task.STATE_FAILED or (
        successful is None and task.state == Task.STATE_SUCCEEDED
    )


def _event(
    step: ProgressStep, task: Task, places: Mapping[str, tuple[Instance, NodeGroup]]
) -> dict[str, Json]:
    instance, group = places.get(task.spec.instance) or (None, None)
    ended = _time(task.end_time if task.HasField("end_time") else None)
    return {
        "created_at": ended,
        "updated_at": None,
        "id": str(uuid.uuid5(uuid.UUID(step.id), task.id)),
        "node_group_id": group.id if group else None,
        "instance_id": (instance.provider_id or instance.id) if instance else None,
        "instance_name": instance.name if instance else None,
        "event_info": task.failure.message or None,
        "successful": task.state == Task.STATE_SUCCEEDED,
        "step_id": step.id,
    }


def _latest(tasks: Sequence[Task]) -> Timestamp | None:
    ends = [each.end_time for each in tasks if each.HasField("end_time")]
    return max(ends, key=_nanoseconds, default=None)


def _nanoseconds(stamp: Timestamp) -> int:
    return stamp.ToNanoseconds()


def _time(stamp: Timestamp | None) -> str | None:
    return None if stamp is None else shown_time(stamp)
