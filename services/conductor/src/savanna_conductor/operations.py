"""Operations and their tasks: storing, starting, ending, holding back and releasing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, select, update

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import execution_service_pb2
from savanna.engine.v1 import step_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert, ids, jobs, queries, references, requests, states, telling
from savanna_conductor.store import arrays, schema
from savanna_conductor.task_rows import NewTasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from savanna_conductor.store.transaction import Transaction

Cluster = cluster_pb2.Cluster
Operation = operation_pb2.Operation
Entry = operation_pb2.JournalEntry
Task = operation_pb2.Task

OPEN = (Operation.STATE_HELD, Operation.STATE_PENDING, Operation.STATE_RUNNING)
EXCLUSIVE = (Operation.GOAL_LAUNCH, Operation.GOAL_SCALE, Operation.GOAL_DELETE)
FIRST_PLAN = "plan/1"

# Made once, as they are used for each operation.
_OPEN = (
    select(schema.operation)
    .where(schema.operation.c.cluster_id == bindparam("id"), schema.operation.c.state.in_(OPEN))
    .order_by(schema.operation.c.created)
)
_OPEN_TASKS = (
    select(schema.task.c.id, schema.task.c.spec)
    .where(
        schema.task.c.operation_id == bindparam("id"),
        schema.task.c.state.in_((Task.STATE_PENDING, Task.STATE_ASSIGNED)),
    )
    .order_by(schema.task.c.position)
)

_WAITS_FOR = {
    Operation.GOAL_LAUNCH: "waits until the cluster is launched",
    Operation.GOAL_SCALE: "waits until the cluster is scaled",
    Operation.GOAL_DELETE: "waits until the cluster is deleted",
}


def create(transaction: Transaction, operation: Operation, *, is_first: bool = False) -> Operation:
    """Store an operation with its first plan, held back if something is under way that it has to
    wait for; with ``is_first`` nothing can be, as its cluster is new.

    Gives it with id, state and times.
    """
    operation.id = ids.new_id()
    operation.traceparent = requests.traceparent()
    operation.create_time.FromMicroseconds(transaction.now)
    others = [] if is_first else open_operations(transaction, operation.cluster_id)
    blocker = blocker_of(operation, others)
    operation.state = Operation.STATE_HELD if blocker else Operation.STATE_PENDING
    operation.held_reason = _held_reason(operation, blocker) if blocker else ""
    _set_deadline(transaction, operation)
    columns: dict[str, Sequence[object]] = {
        "id": [operation.id],
        "project_id": [operation.project_id],
        "cluster_id": [operation.cluster_id],
        "job_id": [operation.job_id],
        "goal": [operation.goal],
        "state": [operation.state],
        "body": [operation.SerializeToString()],
    }
    fixed = {
        "cancel_requested": False,
        "cancel_acknowledged": False,
        "created": transaction.now,
        "ended": 0,
        "place": 0,
        "archived_to": 0,
    }
    arrays.insert_columns(transaction, schema.operation, columns, fixed)
    telling.operation_changed(transaction, operation, Entry.KIND_OPERATION_CREATED)
    spec = _first_plan(operation)
    tasks = NewTasks()
    task_id, stored = tasks.add(operation.id, spec, 1)
    tasks.store(transaction)
    telling.task_created(transaction, operation, task_id, stored)
    return operation


def _set_deadline(transaction: Transaction, operation: Operation) -> None:
    limit = transaction.limits.get(operation.goal)
    if limit and operation.state == Operation.STATE_PENDING:
        operation.deadline.FromMicroseconds(transaction.now + int(limit * 1_000_000))


def _held_reason(operation: Operation, blocker: Operation) -> str:
    if operation.goal == Operation.GOAL_DELETE:
        return "waits for what is under way to stop"
    return _WAITS_FOR[blocker.goal]


def _first_plan(operation: Operation) -> operation_pb2.TaskSpec:
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
    return spec


def note_start(transaction: Transaction, operation: Operation) -> None:
    """Note that the first task of an operation was handed out."""
    if operation.state != Operation.STATE_PENDING:
        return
    operation.state = Operation.STATE_RUNNING
    operation.start_time.FromMicroseconds(transaction.now)
    _save(transaction, operation)
    telling.operation_changed(transaction, operation)


def note_completing(transaction: Transaction, operation: Operation) -> None:
    """Note that the cluster of an operation is of use already; jobs that waited for it go on."""
    _save(transaction, operation)
    telling.operation_changed(transaction, operation)
    _release_held(transaction, operation.cluster_id)


def end(
    transaction: Transaction,
    operation: Operation,
    change: execution_service_pb2.EndOperation,
    final_state: Cluster.State.ValueType = Cluster.STATE_UNSPECIFIED,
) -> None:
    """End an operation: skip its open tasks, say what became of the cluster, release what it held
    back."""
    operation.state = change.state
    operation.held_reason = ""
    if change.HasField("failure"):
        operation.failure.CopyFrom(change.failure)
    operation.end_time.FromMicroseconds(transaction.now)
    _skip_open_tasks(transaction, operation)
    _save(transaction, operation, owner=None)
    telling.operation_changed(transaction, operation)
    if operation.job_id:
        jobs.operation_ended(transaction, operation)
    if operation.goal in EXCLUSIVE:
        _end_change(transaction, operation, final_state)
    _release_held(transaction, operation.cluster_id)
    if operation.goal == Operation.GOAL_RUN_JOB or _ran_jobs(transaction, operation):
        _end_transient(transaction, operation.cluster_id)


def _ran_jobs(transaction: Transaction, operation: Operation) -> bool:
    """Say whether a cluster had jobs while an operation completed it."""
    if not operation.is_completing:
        return False
    table = schema.operation
    is_job = table.c.goal == Operation.GOAL_RUN_JOB
    query = select(table.c.id).where(table.c.cluster_id == operation.cluster_id, is_job)
    return transaction.connection.execute(query.limit(1)).first() is not None


def _end_transient(transaction: Transaction, cluster_id: str) -> None:
    """Delete a cluster that was wanted for its jobs alone, once the last has ended."""
    row = queries.cluster_row(transaction.connection, cluster_id)
    if row is None or row.state != Cluster.STATE_ACTIVE or row.is_protected:
        return
    transient = Cluster.FromString(row.body).is_transient
    if transient and not open_operations(transaction, cluster_id):
        begin_delete(transaction, row)


def begin_delete(
    transaction: Transaction, row: Row[Any], *, detail: bytes = b"", retry_of: str = ""
) -> Operation:
    """Store the delete of a cluster, after asking everything under way to end."""
    cluster = schema.cluster
    change = update(cluster).where(cluster.c.id == row.id)
    # First the state: whatever ends from now on leaves it.
    transaction.connection.execute(
        change.values(
            state=Cluster.STATE_DELETING,
            status_description="",
            revision=row.revision + 1,
            updated=transaction.now,
        )
    )
    # Jobs first: they wait for the others.
    under_way = open_operations(transaction, row.id)
    for each in sorted(under_way, key=lambda each: each.goal in EXCLUSIVE):
        if is_untouched(transaction, each):
            cancel_at_once(transaction, each)
        else:
            request_cancel(transaction, each)
    operation = create(
        transaction,
        Operation(
            project_id=row.project_id,
            cluster_id=row.id,
            cluster_name=row.name,
            goal=Operation.GOAL_DELETE,
            detail=detail,
            retry_of=retry_of,
        ),
    )
    transaction.connection.execute(change.values(operation_id=operation.id))
    telling.cluster_changed(transaction, operation, Cluster.STATE_DELETING)
    return operation


def _skip_open_tasks(transaction: Transaction, operation: Operation) -> None:
    rows = transaction.connection.execute(_OPEN_TASKS, {"id": operation.id}).all()
    if not rows:
        return
    ended = {"state": int(Task.STATE_SKIPPED), "ended": transaction.now}
    arrays.update_by_ids(transaction, schema.task, [row.id for row in rows], ended)
    for row in rows:
        telling.task_skipped(transaction, operation, row.id, row.spec)


def _end_change(
    transaction: Transaction, operation: Operation, final_state: Cluster.State.ValueType
) -> None:
    row = queries.cluster_row(transaction.connection, operation.cluster_id)
    if row is None:
        return
    if operation.goal == Operation.GOAL_DELETE and operation.state == Operation.STATE_SUCCEEDED:
        _remove_cluster(transaction, operation)
        return
    state = states.ended(operation.goal, operation.state, row.state, final_state)
    description = _description(operation)
    values: dict[str, object] = {"state": int(state), "updated": transaction.now}
    if description:
        values["status_description"] = schema.storable(description)
    if row.operation_id == operation.id:
        values["operation_id"] = ""
    arrays.update_by_ids(transaction, schema.cluster, [operation.cluster_id], values)
    if state != row.state:
        telling.cluster_changed(transaction, operation, state, description)


def _description(operation: Operation) -> str:
    if not operation.HasField("failure"):
        return ""
    begin = {
        Operation.GOAL_LAUNCH: "Creating cluster failed for the following reason(s): ",
        Operation.GOAL_SCALE: "Scaling cluster failed for the following reason(s): ",
        Operation.GOAL_DELETE: "Deleting cluster failed for the following reason(s): ",
    }
    if operation.is_completing:
        return f"Completing cluster failed for the following reason(s): {operation.failure.message}"
    return begin.get(operation.goal, "") + operation.failure.message


def _remove_cluster(transaction: Transaction, operation: Operation) -> None:
    transaction.connection.execute(
        delete(schema.cluster).where(schema.cluster.c.id == operation.cluster_id)
    )
    references.forget(transaction, (references.CLUSTER, operation.cluster_id))
    jobs.cluster_removed(transaction, operation.cluster_id)
    telling.cluster_removed(transaction, operation)


def open_operations(transaction: Transaction, cluster_id: str) -> list[Operation]:
    """List the operations of a cluster that have not ended, oldest first."""
    rows = transaction.connection.execute(_OPEN, {"id": cluster_id})
    return [convert.operation(row) for row in rows]


def is_untouched(transaction: Transaction, operation: Operation) -> bool:
    """Say whether no scheduler has an operation or ever did anything for it."""
    if operation.state not in (Operation.STATE_HELD, Operation.STATE_PENDING):
        return False
    table = schema.operation
    query = select(table.c.owner).where(table.c.id == operation.id)
    return transaction.connection.execute(query).scalar_one() is None


def request_cancel(transaction: Transaction, operation: Operation) -> None:
    """Ask for the end of an operation.

    A job that nobody has begun ends at once; changes of clusters are planned back, also those.
    """
    if operation.goal == Operation.GOAL_RUN_JOB and is_untouched(transaction, operation):
        cancel_at_once(transaction, operation)
    elif not operation.cancel_requested:
        operation.cancel_requested = True
        transaction.connection.execute(
            update(schema.operation)
            .where(schema.operation.c.id == operation.id)
            .values(cancel_requested=True)
        )
        telling.operation_changed(transaction, operation)
        if operation.job_id:
            jobs.cancel_requested(transaction, operation)


def cancel_at_once(transaction: Transaction, operation: Operation) -> None:
    """End an operation for which nothing was ever done."""
    change = execution_service_pb2.EndOperation(state=Operation.STATE_CANCELLED)
    end(transaction, operation, change)


def _release_held(transaction: Transaction, cluster_id: str) -> None:
    """Let operations go on whose blockers have ended; jobs of a cluster that can never run them
    fail."""
    waiting = open_operations(transaction, cluster_id)
    free = [
        each
        for each in waiting
        if each.state == Operation.STATE_HELD and blocker_of(each, waiting) is None
    ]
    if not free:
        return
    cluster = queries.cluster_row(transaction.connection, cluster_id)
    hopeless = cluster is None or cluster.state == Cluster.STATE_ERROR
    for operation in free:
        if hopeless and operation.goal == Operation.GOAL_RUN_JOB:
            # Its end looks after the others.
            _fail_hopeless(transaction, operation)
            return
        operation.state = Operation.STATE_PENDING
        operation.held_reason = ""
        _set_deadline(transaction, operation)
        _save(transaction, operation)
        telling.operation_changed(transaction, operation)
        if operation.job_id:
            jobs.operation_released(transaction, operation)


def _fail_hopeless(transaction: Transaction, operation: Operation) -> None:
    change = execution_service_pb2.EndOperation(state=Operation.STATE_FAILED)
    change.failure.reason = "CLUSTER_NOT_USABLE"
    change.failure.message = (
        f"cluster '{operation.cluster_name}' could not be made: see why in its status, make "
        "another and run the job there"
    )
    end(transaction, operation, change)


def blocker_of(operation: Operation, others: Iterable[Operation]) -> Operation | None:
    """Find what an operation waits for: deletes wait for everything, jobs for exclusive
    operations."""
    for other in others:
        if other.id == operation.id:
            continue
        holds = other.goal in EXCLUSIVE and not other.is_completing
        if operation.goal == Operation.GOAL_DELETE or holds:
            return other
    return None


def _save(transaction: Transaction, operation: Operation, **columns: str | None) -> None:
    values: dict[str, object] = {
        "state": operation.state,
        "ended": operation.end_time.ToMicroseconds(),
        "body": operation.SerializeToString(),
        **columns,
    }
    arrays.update_by_ids(transaction, schema.operation, [operation.id], values)
