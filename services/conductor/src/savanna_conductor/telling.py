"""What the journal is told: entries about operations, tasks, clusters, instances and jobs."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import states
from savanna_conductor.store.entries import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_conductor.store.transaction import Transaction
    from savanna_conductor.task_rows import TaskRow

Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Operation = operation_pb2.Operation
_REMEMBERED = 16_384
"""Tasks, some 10 MB: each is spoken of at least three times, soon after one another."""

_STATES = {number: name.removeprefix("STATE_") for name, number in operation_pb2.Task.State.items()}


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


def attempt_changed(
    transaction: Transaction,
    task: TaskRow,
    kind: Entry.Kind.ValueType,
    outcome: Attempt.Outcome.ValueType = Attempt.OUTCOME_UNSPECIFIED,
    failure: operation_pb2.Failure | None = None,
) -> None:
    """Tell what became of a task and its attempt."""
    entry = Entry(
        kind=kind,
        epoch=task.epoch,
        engine_id=task.engine_id,
        outcome=outcome,
        state=_STATES[task.state],
        failure=failure,
    )
    operation = task.operation
    place = (operation.project_id, operation.cluster_id, operation.id)
    transaction.tell(entry, _task(*place, task.id, task.spec))


def task_created(
    transaction: Transaction,
    operation: Operation,
    task_id: str,
    spec: bytes,
    needs: Iterable[str] = (),
) -> None:
    """Tell that a task was stored."""
    entry = Entry(kind=Entry.KIND_TASK_CREATED, needs=needs, state="PENDING")
    transaction.tell(entry, _task_of(operation, task_id, spec))


def task_skipped(transaction: Transaction, operation: Operation, task_id: str, spec: bytes) -> None:
    """Tell that a task is no longer wanted."""
    entry = Entry(kind=Entry.KIND_TASK_SKIPPED, state="SKIPPED")
    transaction.tell(entry, _task_of(operation, task_id, spec))


def _task_of(operation: Operation, task_id: str, spec: bytes) -> Subject:
    return _task(operation.project_id, operation.cluster_id, operation.id, task_id, spec)


@lru_cache(_REMEMBERED)
def _task(
    project_id: str, cluster_id: str, operation_id: str, task_id: str, spec: bytes
) -> Subject:
    """Say which task an entry is about; that never changes."""
    given = operation_pb2.TaskSpec.FromString(spec)
    entry = Entry(
        project_id=project_id,
        cluster_id=cluster_id,
        operation_id=operation_id,
        task_id=task_id,
        task_key=given.key,
        task_kind=given.kind,
        title=given.title,
        instance=given.instance,
    )
    return Subject(project_id, cluster_id, operation_id, entry.SerializeToString())
