"""What users may still ask of an operation that went wrong: another try, or the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select, update

from savanna.cluster.v1 import cluster_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import operations, ownership, queries, requests, telling
from savanna_conductor.store import schema
from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row

    from savanna.conductor.v1 import cluster_service_pb2 as messages
    from savanna_conductor.store.transaction import Transaction

Cluster = cluster_pb2.Cluster
Instance = cluster_pb2.Instance
Operation = operation_pb2.Operation

_JOB_REMEDY = "run the job again instead: savanna job run, with the same template and cluster"


def retry(transaction: Transaction, request: messages.RetryOperationRequest) -> str:
    """Store another try of an operation; gives its id.

    The same request gives the same one. Raises ``NotFound`` and ``FailedPrecondition``.
    """
    project_id = request.name.project_id
    made = requests.find(transaction, "RetryOperation", project_id, request.request_id)
    if made is not None:
        if queries.operation(transaction.connection, made).retry_of != request.name.id:
            raise requests.used_for_another("operation")
        return made
    failed = queries.own_operation(transaction.connection, request.name)
    if failed.goal == Operation.GOAL_RUN_JOB:
        raise _refusal(f"a run of a job is not retried: {_JOB_REMEDY}")
    if failed.state in operations.OPEN:
        raise _refusal("the operation has not ended: wait for its end, or cancel it first")
    if failed.state == Operation.STATE_SUCCEEDED:
        raise _refusal("the operation succeeded: there is nothing to try again")
    row = _free_cluster(transaction, failed)
    if failed.goal == Operation.GOAL_DELETE:
        ownership.check_unprotected(row, (), noun="cluster")
        again = operations.begin_delete(transaction, row, detail=failed.detail, retry_of=failed.id)
    else:
        _check_reached(row, failed)
        again = _begin(transaction, row, failed, Operation(retry_of=failed.id))
    requests.remember(transaction, "RetryOperation", project_id, request.request_id, again.id)
    return again.id


def roll_back(transaction: Transaction, request: messages.RollbackOperationRequest) -> str:
    """Lead an operation back; gives the id of the operation that does: itself while it is under
    way.

    The same request gives the same one. Raises ``NotFound`` and ``FailedPrecondition``.
    """
    project_id = request.name.project_id
    made = requests.find(transaction, "RollbackOperation", project_id, request.request_id)
    if made is not None:
        back = queries.operation(transaction.connection, made)
        if request.name.id not in (back.id, back.rollback_of):
            raise requests.used_for_another("operation")
        return made
    failed = queries.own_operation(transaction.connection, request.name)
    _check_leads_back(failed)
    if failed.state in operations.OPEN:
        operations.request_cancel(transaction, failed)
        _remember(transaction, request, failed.id)
        return failed.id
    row = _free_cluster(transaction, failed)
    if not _left_something(transaction, failed) or not _is_last(transaction, failed):
        raise _refusal("nothing is left of the operation that could be taken back", "NOTHING_LEFT")
    _check_reached(row, failed)
    back = _begin(transaction, row, failed, Operation(rollback_of=failed.id))
    _remember(transaction, request, back.id)
    return back.id


def _remember(
    transaction: Transaction, request: messages.RollbackOperationRequest, made_id: str
) -> None:
    requests.remember(
        transaction, "RollbackOperation", request.name.project_id, request.request_id, made_id
    )


def _refusal(sentence: str, reason: str = "OPERATION_NOT_FITTING") -> FailedPrecondition:
    return FailedPrecondition(sentence, reason=reason)


def _check_leads_back(failed: Operation) -> None:
    if failed.goal == Operation.GOAL_RUN_JOB:
        raise _refusal("a run of a job is not taken back: cancel the job while it runs")
    if failed.goal == Operation.GOAL_DELETE:
        raise _refusal("a delete can not be taken back: what it removed is gone")
    if failed.rollback_of:
        raise _refusal("the operation leads back already; when it has failed, retry it")
    if failed.state == Operation.STATE_SUCCEEDED:
        instead = "delete the cluster" if _is_launch(failed) else "scale the cluster back"
        raise _refusal(f"the operation succeeded: {instead} instead")


def _is_launch(operation: Operation) -> bool:
    return operation.goal == Operation.GOAL_LAUNCH


def _free_cluster(transaction: Transaction, failed: Operation) -> Row[Any]:
    """Read the cluster of an operation; it must be there and free for another change."""
    row = queries.cluster_row(transaction.connection, failed.cluster_id)
    if row is None:
        raise _refusal(f"cluster '{failed.cluster_name}' is gone: create it again", "CLUSTER_GONE")
    if row.operation_id:
        raise _refusal(
            f"another operation changes cluster '{row.name}': wait until it has ended",
            "CLUSTER_BUSY",
        )
    return row


def _check_reached(row: Row[Any], failed: Operation) -> None:
    """Refuse when a cluster is no longer as a launch or a scale left it."""
    left = Cluster.STATE_ERROR if _is_launch(failed) else Cluster.STATE_ACTIVE
    if row.state == left:
        return
    if _is_launch(failed):
        raise _refusal(
            f"cluster '{row.name}' is active: scale it to bring it to another size",
            "CLUSTER_ACTIVE",
        )
    raise _refusal(
        f"cluster '{row.name}' is not active: retry or repeat what failed last",
        "CLUSTER_NOT_ACTIVE",
    )


def _is_last(transaction: Transaction, failed: Operation) -> bool:
    """Say whether no other change of the cluster came later: what is left may be that one's."""
    table = schema.operation
    query = select(table.c.id).where(
        table.c.cluster_id == failed.cluster_id, table.c.goal.in_(operations.EXCLUSIVE)
    )
    newest = query.order_by(table.c.created.desc()).limit(1)
    return bool(transaction.connection.execute(newest).scalar_one() == failed.id)


def _left_something(transaction: Transaction, failed: Operation) -> bool:
    table = schema.instance
    query = select(exists().where(table.c.cluster_id == failed.cluster_id, _remains(failed)))
    if transaction.connection.execute(query).scalar_one():
        return True
    before = cluster_pb2.Wish.FromString(failed.detail).counts_before
    ready = (
        select(table.c.node_group, func.count())
        .where(table.c.cluster_id == failed.cluster_id, table.c.state == Instance.STATE_READY)
        .group_by(table.c.node_group)
    )
    rows = transaction.connection.execute(ready).all()
    return any(number > before.get(group, 0) for group, number in rows)


def _remains(failed: Operation) -> ColumnElement[bool]:
    """Give the condition for what a way back surely removes: of a scale what never worked."""
    state = schema.instance.c.state
    if _is_launch(failed):
        return state != Instance.STATE_DELETED
    return (state < Instance.STATE_READY) | (state == Instance.STATE_FAILED)


def _begin(
    transaction: Transaction, row: Row[Any], failed: Operation, second: Operation
) -> Operation:
    """Store a second operation with the goal of a first one, and what it makes of the cluster."""
    # Another try of a way back leads back too.
    second.rollback_of = second.rollback_of or failed.rollback_of
    second.MergeFrom(
        Operation(
            project_id=row.project_id,
            cluster_id=row.id,
            cluster_name=row.name,
            goal=failed.goal,
            detail=failed.detail,
            on_failure=failed.on_failure,
        )
    )
    operation = operations.create(transaction, second)
    values: dict[str, object] = {"state": _begun(operation), "status_description": ""}
    if operation.rollback_of:
        values["status_description"] = "What is left is being removed by wish of the user"
    elif operation.goal == Operation.GOAL_SCALE:
        values["body"] = _asked_again(row, operation)
    transaction.connection.execute(
        update(schema.cluster)
        .where(schema.cluster.c.id == row.id)
        .values(
            operation_id=operation.id,
            revision=row.revision + 1,
            updated=transaction.now,
            **values,
        )
    )
    if values["state"] != row.state:
        telling.cluster_changed(transaction, operation, _begun(operation))
    return operation


def _begun(operation: Operation) -> Cluster.State.ValueType:
    """Give the state of a cluster when a second operation begins."""
    if not _is_launch(operation):
        return Cluster.STATE_SCALING
    return Cluster.STATE_ERROR if operation.rollback_of else Cluster.STATE_VALIDATING


def _asked_again(row: Row[Any], operation: Operation) -> bytes:
    """Give the body of a cluster with the counts that a scale asked for."""
    cluster = Cluster.FromString(row.body)
    counts = cluster_pb2.Wish.FromString(operation.detail).counts_after
    for group in cluster.node_groups:
        group.count = counts.get(group.name, group.count)
    return cluster.SerializeToString(deterministic=True)
