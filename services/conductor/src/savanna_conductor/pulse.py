"""The database's pulse: while it does not answer, the conductor's health says so, and whoever
chooses among conductors takes another."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna_conductor.store.transaction import SCHEMA_CHANGED
from savanna_kit import logs
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from savanna_conductor.store.transaction import Store, Transaction

log = logs.get_logger(__name__)
_PAUSE_SECONDS = 1.0
_PATIENCE_SECONDS = 3.0
"""Half a lease: callers shall have another conductor before theirs end."""


class Pulse:
    """Writes nothing, again and again, in turn with all other writes."""

    def __init__(
        self,
        store: Store,
        say_well: Callable[[bool], Awaitable[None]],
        *,
        patience: float = _PATIENCE_SECONDS,
    ) -> None:
        self._store = store
        self._say_well = say_well
        self._patience = patience
        self._well = True

    async def keep(self) -> None:
        """Feel the pulse for ever.

        Raises ``Unavailable`` when the database was brought to another version: this conductor can
        do nothing more.
        """
        while True:
            await self._beat()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _beat(self) -> None:
        beat = asyncio.create_task(self._store.write(_nothing))
        try:
            await asyncio.wait({beat}, timeout=self._patience)
            if not beat.done():
                await self._tell(False, f"no answer for {self._patience} s")
            await beat
        except SavannaError as error:
            await self._tell(False, str(error))
            if error.reason == SCHEMA_CHANGED:
                raise
        else:
            await self._tell(True, "")
        finally:
            beat.cancel()

    async def _tell(self, well: bool, why: str) -> None:
        if well == self._well:
            return
        self._well = well
        if well:
            log.info("database_answers_again")
        else:
            log.warning("database_does_not_answer", error=why)
        await self._say_well(well)


def _nothing(transaction: Transaction) -> None:
    del transaction
