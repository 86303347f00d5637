"""Requests that were carried out: the same one gives the same answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from savanna_conductor.store import schema
from savanna_kit import context, telemetry
from savanna_kit.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction


def find(
    transaction: Transaction,
    call: str,
    project_id: str,
    request_id: str,
    *,
    known_only: bool = False,
) -> str | None:
    """Give the id of what a request made; None when it is new or has no id.

    With ``known_only`` raises ``NotFound`` in place of None. Raises ``InvalidArgument`` when
    another request had the same id.
    """
    made = _find(transaction, call, project_id, request_id) if request_id else None
    if made is None and known_only:
        raise NotFound("this request has made nothing", reason="REQUEST_UNKNOWN")
    return made


def _find(transaction: Transaction, call: str, project_id: str, request_id: str) -> str | None:
    table = schema.request
    query = select(table.c.made_id, table.c.digest).where(
        table.c.project_id == project_id,
        table.c.call == call,
        table.c.request_id == request_id,
    )
    row = transaction.connection.execute(query).one_or_none()
    if row is None:
        return None
    if _differ(context.current().digest, row.digest):
        raise used_for_another("request")
    made_id: str = row.made_id
    return made_id


def _differ(one: str, other: str) -> bool:
    """Say whether two digests are of different requests; those of different kinds, or of none, tell
    nothing."""
    kinds = {each.partition(":")[0] for each in (one, other)}
    return one != other and len(kinds) == 1


def remember(
    transaction: Transaction, call: str, project_id: str, request_id: str, made_id: str
) -> None:
    """Remember what a request made."""
    if request_id:
        transaction.connection.execute(
            insert(schema.request).values(
                project_id=project_id,
                call=call,
                request_id=request_id,
                made_id=made_id,
                created=transaction.now,
                digest=context.current().digest,
            )
        )


def used_for_another(noun: str) -> InvalidArgument:
    """Say that an id was used before, for something else."""
    return InvalidArgument(
        f"request_id was used for another {noun}: give each request an id of its own, and the same "
        "only to a request that is sent again as it was",
        reason="REQUEST_ID_USED",
    )


def traceparent() -> str:
    """Give the trace context of the request, for the operation that it begins."""
    return telemetry.current_traceparent()
