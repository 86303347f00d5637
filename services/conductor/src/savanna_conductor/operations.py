"""Operations and their tasks: storing, starting, ending, holding back and releasing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from savanna.cluster.v1 import cluster_pb2
from savanna.engine.v1 import step_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert, jobs, states
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.conductor.v1 import execution_service_pb2
    from savanna_conductor.store.transaction import Transaction

Operation = operation_pb2.Operation
Entry = operation_pb2.JournalEntry
Task = operation_pb2.Task

OPEN = (Operation.STATE_HELD, Operation.STATE_PENDING, Operation.STATE_RUNNING)
EXCLUSIVE = (Operation.GOAL_LAUNCH, Operation.GOAL_SCALE, Operation.GOAL_DELETE)
FIRST_PLAN = "plan/1"


def create(transaction: Transaction, operation: Operation) -> Operation:
    """Store an operation with its first plan; ``state`` says whether it is held.

    Gives it with id and time.
    """
    operation.id = str(uuid.uuid4())
    operation.create_time.FromMicroseconds(transaction.now)
    transaction.connection.execute(
        insert(schema.operation).values(
            id=operation.id,
            project_id=operation.project_id,
            cluster_id=operation.cluster_id,
            job_id=operation.job_id,
            goal=operation.goal,
            state=operation.state,
            owner=None,
            cancel_requested=False,
            cancel_acknowledged=False,
            created=transaction.now,
            body=operation.SerializeToString(),
        )
    )
    transaction.tell(changed(operation, Entry.KIND_OPERATION_CREATED))
    body = step_pb2.StepBody(cluster_id=operation.cluster_id, project_id=operation.project_id)
    body.plan.operation_id = operation.id
    spec = operation_pb2.TaskSpec(
        key=FIRST_PLAN,
        kind="plan",
        pool="plan",
        title="Plan",
        body=body.SerializeToString(),
        is_plan=True,
        priority=100,
    )
    spec.retry.max_attempts = 8
    spec.timeout.FromSeconds(60)
    row = task_row(operation.id, spec, 1, transaction.now)
    transaction.connection.execute(insert(schema.task).values(row))
    transaction.tell(task_created(operation, str(row["id"]), spec))
    return operation


def task_row(
    operation_id: str, spec: operation_pb2.TaskSpec, position: int, now: int
) -> dict[str, object]:
    """Give the row of a new task."""
    return {
        "id": str(uuid.uuid4()),
        "operation_id": operation_id,
        "key": spec.key,
        "position": position,
        "state": Task.STATE_PENDING,
        "epoch": 0,
        "session_id": "",
        "failed_attempts": 0,
        "lost_attempts": 0,
        "not_before": 0,
        "waiting_since": 0,
        "created": now,
        "started": 0,
        "ended": 0,
        "failure": b"",
        "spec": spec.SerializeToString(deterministic=True),
    }


def note_start(transaction: Transaction, operation: Operation) -> None:
    """Note that the first task of an operation was handed out."""
    if operation.state != Operation.STATE_PENDING:
        return
    operation.state = Operation.STATE_RUNNING
    operation.start_time.FromMicroseconds(transaction.now)
    _save(transaction, operation)
    transaction.tell(changed(operation))


def end(
    transaction: Transaction,
    operation: Operation,
    change: execution_service_pb2.EndOperation,
    final_state: cluster_pb2.Cluster.State.ValueType = cluster_pb2.Cluster.STATE_UNSPECIFIED,
) -> None:
    """End an operation: skip its open tasks, say what became of the cluster, release what it held
    back."""
    operation.state = change.state
    if change.HasField("failure"):
        operation.failure.CopyFrom(change.failure)
    operation.end_time.FromMicroseconds(transaction.now)
    skip_pending_tasks(transaction, operation)
    _save(transaction, operation, owner=None)
    transaction.tell(changed(operation))
    if operation.job_id:
        jobs.operation_ended(transaction, operation)
    if operation.goal in EXCLUSIVE:
        _end_change(transaction, operation, final_state)
    release_held(transaction, operation.cluster_id)


def skip_pending_tasks(transaction: Transaction, operation: Operation) -> None:
    """Give up all tasks of an operation that were not handed out."""
    table = schema.task
    transaction.connection.execute(
        update(table)
        .where(table.c.operation_id == operation.id, table.c.state == Task.STATE_PENDING)
        .values(state=Task.STATE_SKIPPED, ended=transaction.now)
    )


def _end_change(
    transaction: Transaction, operation: Operation, final_state: cluster_pb2.Cluster.State.ValueType
) -> None:
    table = schema.cluster
    row = transaction.connection.execute(
        select(table.c.state, table.c.operation_id).where(table.c.id == operation.cluster_id)
    ).one_or_none()
    if row is None:
        return
    if operation.goal == Operation.GOAL_DELETE and operation.state == Operation.STATE_SUCCEEDED:
        _remove_cluster(transaction, operation)
        return
    state = final_state or states.ended(operation.goal, operation.state, row.state)
    description = _description(operation)
    values: dict[str, object] = {"state": state, "updated": transaction.now}
    if description:
        values["status_description"] = description
    if row.operation_id == operation.id:
        values["operation_id"] = ""
    transaction.connection.execute(
        update(table).where(table.c.id == operation.cluster_id).values(values)
    )
    if state != row.state:
        transaction.tell(cluster_changed(operation, state, description))


def _description(operation: Operation) -> str:
    if not operation.HasField("failure"):
        return ""
    begin = {
        Operation.GOAL_LAUNCH: "Creating cluster failed for the following reason(s): ",
        Operation.GOAL_SCALE: "Scaling cluster failed for the following reason(s): ",
        Operation.GOAL_DELETE: "Deleting cluster failed for the following reason(s): ",
    }
    return begin.get(operation.goal, "") + operation.failure.message


def _remove_cluster(transaction: Transaction, operation: Operation) -> None:
    connection = transaction.connection
    connection.execute(delete(schema.cluster).where(schema.cluster.c.id == operation.cluster_id))
    connection.execute(
        delete(schema.reference).where(
            schema.reference.c.from_kind == CLUSTER_KIND,
            schema.reference.c.from_id == operation.cluster_id,
        )
    )
    jobs.cluster_removed(transaction, operation.cluster_id)
    entry = cluster_changed(operation, cluster_pb2.Cluster.STATE_DELETING)
    entry.state = "Deleted"
    transaction.tell(entry)


def open_operations(
    transaction: Transaction, cluster_id: str, goals: Sequence[int] = ()
) -> list[Operation]:
    """List the operations of a cluster that have not ended, oldest first."""
    table = schema.operation
    query = select(table).where(table.c.cluster_id == cluster_id, table.c.state.in_(OPEN))
    if goals:
        query = query.where(table.c.goal.in_(goals))
    rows = transaction.connection.execute(query.order_by(table.c.created))
    return [convert.operation(row) for row in rows]


def request_cancel(transaction: Transaction, operation: Operation) -> None:
    """Ask for the end of an operation; one that nobody has begun ends at once."""
    if operation.state in (Operation.STATE_HELD, Operation.STATE_PENDING):
        table = schema.operation
        owner = transaction.connection.execute(
            select(table.c.owner).where(table.c.id == operation.id)
        ).scalar_one()
        if owner is None:
            operation.state = Operation.STATE_CANCELLED
            operation.end_time.FromMicroseconds(transaction.now)
            skip_pending_tasks(transaction, operation)
            _save(transaction, operation)
            transaction.tell(changed(operation))
            if operation.job_id:
                jobs.operation_ended(transaction, operation)
            return
    transaction.connection.execute(
        update(schema.operation)
        .where(schema.operation.c.id == operation.id)
        .values(cancel_requested=True)
    )
    transaction.tell(changed(operation))


def release_held(transaction: Transaction, cluster_id: str) -> None:
    """Let operations go on whose blockers have ended."""
    waiting = open_operations(transaction, cluster_id)
    for operation in waiting:
        if operation.state == Operation.STATE_HELD and not blocker_of(operation, waiting):
            operation.state = Operation.STATE_PENDING
            operation.held_reason = ""
            _save(transaction, operation)
            transaction.tell(changed(operation))


def blocker_of(operation: Operation, others: Sequence[Operation]) -> Operation | None:
    """Find what an operation waits for: deletes wait for everything, jobs for exclusive
    operations."""
    for other in others:
        if other.id == operation.id:
            continue
        if operation.goal == Operation.GOAL_DELETE:
            return other
        if other.goal in EXCLUSIVE:
            return other
    return None


def _save(transaction: Transaction, operation: Operation, **columns: str | None) -> None:
    transaction.connection.execute(
        update(schema.operation)
        .where(schema.operation.c.id == operation.id)
        .values(state=operation.state, body=operation.SerializeToString(), **columns)
    )


def changed(
    operation: Operation, kind: Entry.Kind.ValueType = Entry.KIND_OPERATION_CHANGED
) -> Entry:
    """Tell what became of an operation."""
    entry = Entry(
        project_id=operation.project_id,
        cluster_id=operation.cluster_id,
        operation_id=operation.id,
        kind=kind,
        state=Operation.State.Name(operation.state).removeprefix("STATE_"),
        message=operation.held_reason,
    )
    if operation.HasField("failure"):
        entry.failure.CopyFrom(operation.failure)
    return entry


def cluster_changed(
    operation: Operation, state: cluster_pb2.Cluster.State.ValueType, message: str = ""
) -> Entry:
    """Tell that a cluster has a new state."""
    return Entry(
        project_id=operation.project_id,
        cluster_id=operation.cluster_id,
        operation_id=operation.id,
        kind=Entry.KIND_CLUSTER_CHANGED,
        state=states.word(state),
        message=message,
    )


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


def task_created(operation: Operation, task_id: str, spec: operation_pb2.TaskSpec) -> Entry:
    """Tell that a task was stored."""
    entry = task_entry(operation, task_id, spec, Entry.KIND_TASK_CREATED)
    entry.needs.extend(spec.needs)
    return entry


CLUSTER_KIND = 100
"""Kind of clusters in the table of references, beside the kinds of the catalog."""
