"""Leases of schedulers and engine sessions, all by the clock of the database."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import insert, select, update

from savanna.mesh.v1 import mesh_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store import arrays, driver, schema
from savanna_kit.errors import Aborted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row

    from savanna.conductor.v1 import execution_service_pb2
    from savanna_conductor.store.transaction import Transaction

MICROSECONDS = 1_000_000
_OWNED = (operation_pb2.Operation.STATE_PENDING, operation_pb2.Operation.STATE_RUNNING)
_SCHEDULER = tuple(each.name for each in schema.scheduler.c)
_SESSION = ("id", "engine_id", "lease_until", "ended")
"""What decides; the rest is for people."""


class Session(NamedTuple):
    """An engine session as far as commits ask."""

    id: str
    engine_id: str
    lease_until: int
    ended: bool


def renew_scheduler(
    transaction: Transaction,
    request: execution_service_pb2.RenewSchedulerRequest,
    *,
    lease_seconds: float,
) -> None:
    """Make or renew a scheduler's lease, and keep what it tells of itself.

    Raises ``Aborted`` once it was taken over.
    """
    table = schema.scheduler
    told = {
        "address": request.address,
        "lease_until": transaction.now + int(lease_seconds * MICROSECONDS),
        "drains": _drains(request.drained, transaction.now),
    }
    if find_scheduler(transaction, request.scheduler_id) is None:
        transaction.connection.execute(
            insert(table).values(
                id=request.scheduler_id,
                lost=False,
                last_commit=0,
                last_outcome=b"",
                started=transaction.now,
                **told,
            )
        )
        return
    own_scheduler(transaction, request.scheduler_id)
    transaction.connection.execute(
        update(table).where(table.c.id == request.scheduler_id).values(**told)
    )


def _drains(drained: Iterable[execution_service_pb2.DrainedEngine], now: int) -> bytes:
    """Serialise, as of a scheduler that is shown, what one tells of engines that it drains."""
    scheduler = mesh_pb2.Scheduler()
    for each in drained:
        drain = scheduler.drains.add(engine_id=each.engine_id, reason=each.reason)
        drain.until_time.FromMicroseconds(now + each.rest.ToMicroseconds())
    return scheduler.SerializeToString()


def find_scheduler(transaction: Transaction, scheduler_id: str) -> Row[Any] | None:
    """Read the row of a scheduler."""
    rows = arrays.select_by_ids(
        transaction.connection, schema.scheduler, _SCHEDULER, [scheduler_id]
    )
    return rows[0] if rows else None


def own_scheduler(transaction: Transaction, scheduler_id: str) -> Row[Any]:
    """Read the row of a scheduler that still has its operations.

    Raises ``Aborted`` otherwise. A lease that is over but was not taken over still holds: nobody
    else has acted.
    """
    row = find_scheduler(transaction, scheduler_id)
    if row is None or row.lost:
        raise _lost(scheduler_id)
    return row


def _lost(scheduler_id: str) -> Aborted:
    return Aborted(
        f"scheduler {scheduler_id} has lost its lease: it must forget all and start anew",
        reason="LEASE_LOST",
    )


def fence(
    transaction: Transaction, scheduler_id: str, session_ids: Iterable[str]
) -> tuple[int, dict[str, Session]]:
    """Read, in one statement, the number of a scheduler's last commit, and engine sessions.

    Raises ``Aborted`` as ``own_scheduler`` does.
    """
    connection = transaction.connection
    given = (arrays.listed(connection, session_ids), scheduler_id)
    rows = driver.read(connection, _fence(connection.dialect.name), given)
    if not rows or rows[0][0]:
        raise _lost(scheduler_id)
    return rows[0][1], {row[2]: Session(*row[2:]) for row in rows if row[2] is not None}


@lru_cache
def _fence(dialect: str) -> str:
    return (
        "SELECT scheduler.lost, scheduler.last_commit, engine_session.id,"
        " engine_session.engine_id, engine_session.lease_until, engine_session.ended"
        f" FROM scheduler LEFT JOIN engine_session ON engine_session.id {arrays.among(dialect)}"
        f" WHERE scheduler.id = {arrays.mark(dialect)}"
    )


def release_scheduler(transaction: Transaction, scheduler_id: str) -> None:
    """Give up a scheduler's lease and all its operations."""
    table = schema.scheduler
    transaction.connection.execute(
        update(table)
        .where(table.c.id == scheduler_id, table.c.lost.is_(False))
        .values(lease_until=transaction.now)
    )
    _take_over(transaction, [scheduler_id])


def take_over_ended(transaction: Transaction, *, but: str) -> None:
    """Free the operations of schedulers whose lease is over, but for the one who asks: it lives.

    From now on they can commit nothing.
    """
    table = schema.scheduler
    query = select(table.c.id).where(
        table.c.lost.is_(False), table.c.lease_until < transaction.now, table.c.id != but
    )
    _take_over(transaction, transaction.connection.execute(query).scalars().all())


def end_all(transaction: Transaction) -> dict[str, str]:
    """End every lease, however long it would last, and free all operations.

    Gives the engines of the sessions that this ended, by session.
    """
    schedulers, sessions = schema.scheduler, schema.engine_session
    living = select(schedulers.c.id).where(schedulers.c.lost.is_(False))
    _take_over(transaction, transaction.connection.execute(living).scalars().all())
    open_still = sessions.c.ended.is_(False)
    query = select(sessions.c.id, sessions.c.engine_id).where(open_still)
    engines = {row.id: row.engine_id for row in transaction.connection.execute(query)}
    transaction.connection.execute(update(sessions).where(open_still).values(ended=True))
    return engines


def _take_over(transaction: Transaction, scheduler_ids: Sequence[str]) -> None:
    if not scheduler_ids:
        return
    transaction.connection.execute(
        update(schema.scheduler).where(schema.scheduler.c.id.in_(scheduler_ids)).values(lost=True)
    )
    table = schema.operation
    # Only what is under way has an owner; the states have an index.
    owned = table.c.state.in_(_OWNED) & table.c.owner.in_(scheduler_ids)
    transaction.connection.execute(update(table).where(owned).values(owner=None))
    transaction.concerns_schedulers = True


def renew_sessions(
    transaction: Transaction,
    sessions: Iterable[execution_service_pb2.Session],
    *,
    lease_seconds: float,
) -> list[str]:
    """Make or renew the leases of engine sessions; gives those that are over and stay so."""
    wanted = {each.session_id: each for each in sessions}
    rows = {row.id: row for row in find_sessions(transaction, wanted)}
    until = transaction.now + int(lease_seconds * MICROSECONDS)
    over = [each for each, row in rows.items() if not is_alive(row, transaction.now)]
    closing = [each for each in rows if wanted[each].closing and each not in over]
    fresh = [
        {
            "id": each.session_id,
            "engine_id": each.engine_id,
            "lease_until": until,
            "ended": each.closing,
            "started": transaction.now,
            "capacity": json.dumps(dict(each.capacity)),
        }
        for each in wanted.values()
        if each.session_id not in rows
    ]
    if fresh:
        transaction.connection.execute(insert(schema.engine_session), fresh)
    if renewed := set(rows) - {*over, *closing}:
        table = schema.engine_session
        transaction.connection.execute(
            update(table).where(table.c.id.in_(renewed)).values(lease_until=until)
        )
    if closing:
        end_sessions(transaction, closing)
    return over


def find_sessions(transaction: Transaction, session_ids: Iterable[str]) -> Sequence[Row[Any]]:
    """Read engine sessions."""
    return arrays.select_by_ids(
        transaction.connection, schema.engine_session, _SESSION, session_ids
    )


def end_sessions(transaction: Transaction, session_ids: Iterable[str]) -> None:
    """End sessions for ever: what they had was given to others, so they must not come back."""
    transaction.connection.execute(
        update(schema.engine_session)
        .where(schema.engine_session.c.id.in_(list(session_ids)))
        .values(ended=True)
    )


def is_alive(session: Row[Any] | Session | None, now: int) -> bool:
    """Say whether an engine session may hold work."""
    return session is not None and not session.ended and session.lease_until >= now
