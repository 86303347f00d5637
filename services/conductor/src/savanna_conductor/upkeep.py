"""Keeping tables small: rows that nobody can need any more are removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from savanna_conductor.store import schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)

MOST = 5_000
"""Requests that are removed in one transaction: nobody may wait long for it."""

_PAUSE_SECONDS = 600.0
_DAY = 24 * 3600 * 1_000_000


async def keep_tidy(store: Store) -> None:
    """Remove old rows from time to time, for ever."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            while await store.write(remove_old):
                # Others write in between.
                await asyncio.sleep(0)
        except SavannaError as error:
            log.warning("upkeep_failed", error=str(error))


def remove_old(transaction: Transaction, *, most: int = MOST) -> bool:
    """Remove requests, schedulers and sessions that ended a day ago: nobody repeats or renews them
    any more, and a session without a row counts as ended.

    Says whether there are more requests, as about ``most`` are removed at once.
    """
    connection, before = transaction.connection, transaction.now - _DAY
    requests, schedulers, sessions = schema.request, schema.scheduler, schema.engine_session
    created = requests.c.created
    oldest = select(created).where(created < before).order_by(created)
    rest = connection.execute(oldest.offset(most).limit(1)).scalar()
    connection.execute(delete(requests).where(created < (before if rest is None else rest + 1)))
    connection.execute(
        delete(schedulers).where(schedulers.c.lost.is_(True), schedulers.c.lease_until < before)
    )
    connection.execute(delete(sessions).where(sessions.c.lease_until < before))
    return rest is not None
