"""How long it takes until what a victim did is done by others, or by its next life."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna.operation.v1.operation_pb2 import Operation, Task
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from sqlalchemy import TextClause

    from savanna_client import Client

PATIENCE = 60.0
"""Seconds after which nobody waits for a recovery any more; then users notice, or nobody does."""

_LOOK_SECONDS = 0.1
_OPEN = (Operation.STATE_HELD, Operation.STATE_PENDING, Operation.STATE_RUNNING)

_SESSIONS = text("SELECT id FROM engine_session WHERE engine_id = :engine")
_HELD = text(
    f"SELECT count(*) FROM task WHERE state = {Task.STATE_ASSIGNED} AND session_id IN :names"
).bindparams(bindparam("names", expanding=True))
_SCHEDULERS = text("SELECT id FROM scheduler WHERE address = :address")
_LAST = text("SELECT value FROM counter WHERE name = 'journal'")
_OWNED = text("SELECT count(*) FROM operation WHERE owner IN :names AND state IN :states")
_OWNED = _OWNED.bindparams(
    bindparam("names", expanding=True), bindparam("states", _OPEN, expanding=True)
)


@dataclass(frozen=True)
class Sample:
    """One recovery."""

    role: str
    seconds: float
    alone: bool
    """Whether nobody else was hurt meanwhile."""


class Ledger:
    """The database, looked at directly: who holds what."""

    def __init__(self, url: str) -> None:
        self._database = create_engine(url, pool_pre_ping=True)

    async def tasks_of(self, engine: str) -> Callable[[], Awaitable[int]]:
        """Give how to count the tasks that are now in the hands of an engine, and still will be."""
        names = await self._names(_SESSIONS, engine=engine)
        return lambda: self._count(_HELD, names)

    async def operations_of(self, address: str) -> Callable[[], Awaitable[int]]:
        """Give how to count the operations that the scheduler of an address owns now, and still
        will."""
        names = await self._names(_SCHEDULERS, address=address)
        return lambda: self._count(_OWNED, names)

    async def last_entry(self) -> int:
        """Give the number of the last entry of the journal."""
        return int((await asyncio.to_thread(self._ask, _LAST, {}))[0])

    def close(self) -> None:
        """Let go of the database."""
        self._database.dispose()

    async def _names(self, query: TextClause, **given: object) -> list[str]:
        return await asyncio.to_thread(self._ask, query, given)

    async def _count(self, query: TextClause, names: Sequence[str]) -> int:
        if not names:
            return 0
        found = await asyncio.to_thread(self._ask, query, {"names": list(names)})
        return int(found[0])

    def _ask(self, query: TextClause, given: dict[str, object]) -> list[str]:
        with self._database.connect() as connection:
            return list(connection.execute(query, given).scalars())


async def until_none(count: Callable[[], Awaitable[int]]) -> float:
    """Wait until nothing is left of what was counted; gives the time when it was so.

    Raises ``TimeoutError``.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if await count() == 0:
                    return time.time()
            except SQLAlchemyError:
                # The database is hurt itself.
                pass
            await asyncio.sleep(_LOOK_SECONDS)


async def until_served(clients: Sequence[Client]) -> float:
    """Wait until every client is answered by the conductor, through its gateway; gives the time.

    Raises ``TimeoutError``.
    """

    async def asked(client: Client) -> None:
        while True:
            try:
                await client.operations.ListOperations(
                    clusters.ListOperationsRequest(page_size=1), timeout=2.0
                )
            except errors.SavannaError:
                await asyncio.sleep(0.02)
            else:
                return

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(asked(each) for each in clients))
    return time.time()
