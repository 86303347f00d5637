"""What other conductors write is seen by looking: once for all who watch, however many they are."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from savanna_conductor import journal
from savanna_conductor.store import schema
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from savanna_conductor.store.transaction import Store

log = logs.get_logger(__name__)

_SUBJECTS = (
    select(schema.journal.c.project_id, schema.journal.c.cluster_id, schema.journal.c.operation_id)
    .where(schema.journal.c.sequence > bindparam("after"))
    .distinct()
)


async def keep(store: Store, look_seconds: float) -> None:
    """Wake those who wait for what others told, for ever."""
    seen: int | None = None
    while True:
        try:
            head = await store.read(journal.head)
            if seen is not None and not store.changes.told_all(seen, head):
                store.changes.announce(await store.read(partial(_subjects, after=seen)))
            seen = head
        except SavannaError as error:
            log.warning("journal_not_seen", error=str(error))
        await asyncio.sleep(look_seconds)


def _subjects(connection: Connection, *, after: int) -> set[str]:
    """Read of which projects, clusters and operations something was told after a position."""
    return {each for row in connection.execute(_SUBJECTS, {"after": after}) for each in row}
