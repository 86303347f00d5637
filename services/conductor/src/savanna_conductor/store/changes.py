"""Who waits for what is told of a project, a cluster or an operation: many may watch, each for
little of what is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable


class Changes:
    """Wakes those who wait, by the id of what they follow."""

    def __init__(self) -> None:
        # An event lives as long as somebody has it.
        self._awaited: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    def next(self, subject_id: str) -> asyncio.Event:
        """Give what is set when something is told of a project, a cluster or an operation; taken
        before a look, it misses nothing that the look did not see."""
        return self._awaited.setdefault(subject_id, asyncio.Event())

    def announce(self, subject_ids: Iterable[str]) -> None:
        """Wake those who wait for one of these."""
        for each in subject_ids:
            awaited = self._awaited.pop(each, None)
            if awaited is not None:
                awaited.set()
