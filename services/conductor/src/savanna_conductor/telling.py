"""What the journal is told: entries about operations, tasks, clusters, instances and jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import states

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction

Entry = operation_pb2.JournalEntry
Operation = operation_pb2.Operation


def _about(operation: Operation, kind: Entry.Kind.ValueType) -> Entry:
    return Entry(
        project_id=operation.project_id,
        cluster_id=operation.cluster_id,
        operation_id=operation.id,
        kind=kind,
    )


def operation_changed(
    transaction: Transaction,
    operation: Operation,
    kind: Entry.Kind.ValueType = Entry.KIND_OPERATION_CHANGED,
) -> None:
    """Tell what became of an operation."""
    entry = _about(operation, kind)
    entry.state = Operation.State.Name(operation.state).removeprefix("STATE_")
    entry.message = operation.held_reason
    if operation.HasField("failure"):
        entry.failure.CopyFrom(operation.failure)
    transaction.tell(entry)


def cluster_changed(
    transaction: Transaction,
    operation: Operation,
    state: cluster_pb2.Cluster.State.ValueType,
    message: str = "",
) -> None:
    """Tell that a cluster has a new state."""
    entry = _about(operation, Entry.KIND_CLUSTER_CHANGED)
    entry.state = states.word(state)
    entry.message = message
    transaction.tell(entry)


def cluster_removed(transaction: Transaction, operation: Operation) -> None:
    """Tell that nothing is left of a cluster."""
    entry = _about(operation, Entry.KIND_CLUSTER_CHANGED)
    entry.state = "Deleted"
    transaction.tell(entry)


def instance_changed(
    transaction: Transaction, operation: Operation, instance: cluster_pb2.Instance
) -> None:
    """Tell that an instance has a new state."""
    entry = _about(operation, Entry.KIND_INSTANCE_CHANGED)
    entry.instance = instance.name
    entry.state = cluster_pb2.Instance.State.Name(instance.state).removeprefix("STATE_")
    entry.message = instance.failure_message
    transaction.tell(entry)


def job_changed(transaction: Transaction, operation: Operation, job: job_pb2.Job) -> None:
    """Tell that a job has a new state."""
    entry = _about(operation, Entry.KIND_JOB_CHANGED)
    entry.state = job_pb2.Job.State.Name(job.state).removeprefix("STATE_")
    entry.message = job.status_description
    transaction.tell(entry)


def task_entry(
    operation: Operation, task_id: str, spec: operation_pb2.TaskSpec, kind: Entry.Kind.ValueType
) -> Entry:
    """Begin an entry about a task."""
    return Entry(
        project_id=operation.project_id,
        cluster_id=operation.cluster_id,
        operation_id=operation.id,
        kind=kind,
        task_id=task_id,
        task_key=spec.key,
        task_kind=spec.kind,
        title=spec.title,
        instance=spec.instance,
    )


def task_created(
    transaction: Transaction, operation: Operation, task_id: str, spec: operation_pb2.TaskSpec
) -> None:
    """Tell that a task was stored."""
    entry = task_entry(operation, task_id, spec, Entry.KIND_TASK_CREATED)
    entry.needs.extend(spec.needs)
    entry.state = "PENDING"
    transaction.tell(entry)


def task_skipped(
    transaction: Transaction, operation: Operation, task_id: str, spec: operation_pb2.TaskSpec
) -> None:
    """Tell that a task is no longer wanted."""
    entry = task_entry(operation, task_id, spec, Entry.KIND_TASK_SKIPPED)
    entry.state = "SKIPPED"
    transaction.tell(entry)
