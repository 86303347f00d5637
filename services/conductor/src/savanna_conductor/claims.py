"""Handing operations to schedulers."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, select, update

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert, leases, queries
from savanna_conductor.store import dialect, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from savanna_conductor.store.transaction import Transaction

Operation = operation_pb2.Operation
DEFAULT_OPERATIONS = 16
DEFAULT_BYTES = 40 * 2**20
_TASK_BYTES = 300
"""Of a task, beside what is said of it in columns of bytes."""

_CLAIMABLE = (Operation.STATE_PENDING, Operation.STATE_RUNNING)


def living_schedulers(connection: Connection) -> list[execution.Scheduler]:
    """List schedulers whose lease has not ended."""
    table = schema.scheduler
    rows = connection.execute(
        select(table.c.id, table.c.address).where(
            table.c.lost.is_(False), table.c.lease_until >= dialect.now(connection)
        )
    )
    return [execution.Scheduler(scheduler_id=row.id, address=row.address) for row in rows]


def is_worthwhile(connection: Connection, request: execution.ClaimRequest) -> bool:
    """Say whether a claim would bring anything: free operations, ended leases, cancels, or its own
    lease lost."""
    scheduler = schema.scheduler
    now = dialect.now(connection)
    reasons = select(
        exists().where(_free()),
        exists().where(
            scheduler.c.lost.is_(False),
            scheduler.c.lease_until < now,
            scheduler.c.id != request.scheduler_id,
        ),
        exists().where(_cancelled(request)),
        ~exists().where(scheduler.c.id == request.scheduler_id, scheduler.c.lost.is_(False)),
    )
    return any(connection.execute(reasons).one())


def claim(transaction: Transaction, request: execution.ClaimRequest) -> execution.ClaimResponse:
    """Take free operations, with all they have, and bring news of cancels.

    Raises ``Aborted``.
    """
    leases.own_scheduler(transaction, request.scheduler_id)
    leases.take_over_ended(transaction, but=request.scheduler_id)
    connection = transaction.connection
    table = schema.operation
    query = select(table).where(_free()).order_by(table.c.created)
    query = query.limit(request.max_operations or DEFAULT_OPERATIONS)
    rows = connection.execute(query).all()
    response = execution.ClaimResponse()
    response.time.FromMicroseconds(transaction.now)
    if rows:
        rows = _that_fit(connection, rows, request.max_bytes or DEFAULT_BYTES)
        ids = [row.id for row in rows]
        connection.execute(
            update(table).where(table.c.id.in_(ids)).values(owner=request.scheduler_id)
        )
        graphs = {row.id: response.graphs.add(operation=convert.operation(row)) for row in rows}
        for task in queries.tasks(connection, ids, bodies=True):
            graphs[task.operation_id].tasks.append(task)
        for graph in response.graphs:
            _add_sessions(transaction, graph)
    cancels = select(table.c.id).where(_cancelled(request))
    response.cancels.extend(connection.execute(cancels).scalars())
    return response


def _that_fit(
    connection: Connection, rows: Sequence[Row[Any]], most_bytes: int
) -> Sequence[Row[Any]]:
    """Leave the first operations, as many as one answer can hold; one in any case."""
    if len(rows) == 1:
        return rows
    task = schema.task
    size = func.length(task.c.spec) + func.length(task.c.body) + func.length(task.c.failure)
    query = (
        select(task.c.operation_id, func.sum(size + _TASK_BYTES))
        .where(task.c.operation_id.in_([row.id for row in rows]))
        .group_by(task.c.operation_id)
    )
    sizes = {row[0]: int(row[1]) for row in connection.execute(query)}
    totals = accumulate(sizes.get(row.id, 0) for row in rows)
    return rows[: max(1, sum(total <= most_bytes for total in totals))]


def _free() -> ColumnElement[bool]:
    table = schema.operation
    return table.c.state.in_(_CLAIMABLE) & table.c.owner.is_(None)


def _cancelled(request: execution.ClaimRequest) -> ColumnElement[bool]:
    table = schema.operation
    return (
        (table.c.owner == request.scheduler_id)
        & table.c.cancel_requested.is_(True)
        & table.c.state.in_(_CLAIMABLE)
        & table.c.id.not_in(list(request.known_cancels))
    )


def _add_sessions(transaction: Transaction, graph: execution.Graph) -> None:
    assigned = operation_pb2.Task.STATE_ASSIGNED
    held = {task.session_id for task in graph.tasks if task.state == assigned}
    rows = {row.id: row for row in leases.find_sessions(transaction, held)} if held else {}
    for session_id in sorted(held):
        row = rows.get(session_id)
        lease = graph.sessions.add(session_id=session_id)
        if row is not None:
            lease.engine_id = row.engine_id
        if row is not None and leases.is_alive(row, transaction.now):
            lease.remaining.FromMicroseconds(row.lease_until - transaction.now)
