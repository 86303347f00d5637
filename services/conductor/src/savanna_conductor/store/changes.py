"""Who waits for what is told of a project, a cluster or an operation: many may watch, each for
little of what is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable


class Changes:
    """Wakes those who wait, by the id of what they follow; remembers what this process told."""

    def __init__(self) -> None:
        # An event lives as long as somebody has it.
        self._awaited: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()
        self._own: list[range] = []

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

    def note_own(self, numbers: range) -> None:
        """Remember the numbers of entries that this process told and announced."""
        self._own.append(numbers)

    def told_all(self, after: int, head: int) -> bool:
        """Say whether this process itself told everything from after a position up to the head of
        the journal; forgets what lies before it."""
        between = range(after + 1, head + 1)
        told = sum(len(_common(each, between)) for each in self._own)
        self._own = [each for each in self._own if each.stop > head + 1]
        return told == len(between)


def _common(one: range, other: range) -> range:
    return range(max(one.start, other.start), min(one.stop, other.stop))
