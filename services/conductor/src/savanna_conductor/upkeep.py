"""Keeping tables small: rows that nobody can need any more are removed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sqlalchemy import delete

from savanna_conductor.store import schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)

_PAUSE_SECONDS = 600.0
_DAY = 24 * 3600 * 1_000_000


async def keep_tidy(store: Store) -> None:
    """Remove old rows from time to time, for ever."""
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        try:
            await store.write(remove_old)
        except SavannaError as error:
            log.warning("upkeep_failed", error=str(error))


def remove_old(transaction: Transaction) -> None:
    """Remove requests, schedulers and sessions that ended a day ago: nobody repeats or renews them
    any more, and a session without a row counts as ended."""
    connection, before = transaction.connection, transaction.now - _DAY
    requests, schedulers, sessions = schema.request, schema.scheduler, schema.engine_session
    connection.execute(delete(requests).where(requests.c.created < before))
    connection.execute(
        delete(schedulers).where(schedulers.c.lost.is_(True), schedulers.c.lease_until < before)
    )
    connection.execute(delete(sessions).where(sessions.c.lease_until < before))
