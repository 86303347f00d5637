"""Rows to messages: the only place where both are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savanna.cluster.v1 import cluster_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store.transaction import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Row


def task(row: Row[Any]) -> operation_pb2.Task:
    """Give a task, with its body if that was read."""
    spec = operation_pb2.TaskSpec.FromString(row.spec)
    spec.body = row._mapping.get("body", b"")
    return operation_pb2.Task(
        id=row.id,
        operation_id=row.operation_id,
        spec=spec,
        state=row.state,
        epoch=row.epoch,
        session_id=row.session_id,
        failed_attempts=row.failed_attempts,
        lost_attempts=row.lost_attempts,
        interruptions=row.interruptions,
        not_before_time=timestamp(row.not_before),
        waiting_since_time=timestamp(row.waiting_since),
        failure=failure(row.failure),
        create_time=timestamp(row.created),
        start_time=timestamp(row.started),
        end_time=timestamp(row.ended),
        position=row.position,
    )


def failure(data: bytes) -> operation_pb2.Failure | None:
    """Give a stored failure; None when nothing failed."""
    return operation_pb2.Failure.FromString(data) if data else None


def operation(row: Row[Any]) -> operation_pb2.Operation:
    """Give an operation with the counts of its archived tasks; those of others are asked for
    apart."""
    message = operation_pb2.Operation.FromString(row.body)
    message.ClearField("tasks")
    if row.archived_counts:
        message.tasks.ParseFromString(row.archived_counts)
    message.state = row.state
    message.cancel_requested = row.cancel_requested
    message.cancel_acknowledged = row.cancel_acknowledged
    return message


def cluster(
    row: Row[Any], instances: Iterable[Row[Any]], *, hidden: bool = False
) -> cluster_pb2.Cluster:
    """Give a cluster with its instances; deleted ones only for those who plan (``hidden``)."""
    message = cluster_pb2.Cluster.FromString(row.body)
    message.state = row.state
    message.status_description = row.status_description
    message.operation_id = row.operation_id
    message.revision = row.revision
    if row.info:
        message.info.ParseFromString(row.info)
    if row.updated:
        message.update_time.FromMicroseconds(row.updated)
    groups = {group.name: group for group in message.node_groups}
    for each in sorted(instances, key=lambda one: one.number):
        gone = each.state == cluster_pb2.Instance.STATE_DELETED
        group = groups.get(each.node_group)
        if group is not None and (hidden or not gone):
            group.instances.add().ParseFromString(each.body)
    return message
