"""What is to be looked at when: one heap. Entries are never removed; whoever looks finds out whether it still matters."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_scheduler.core.session import Session
    from savanna_scheduler.core.task import Task


@dataclass(frozen=True, slots=True)
class BecomesReady:
    """A task's wait is over."""

    task: Task


@dataclass(frozen=True, slots=True)
class LooksUnheard:
    """An attempt that was sent should have been accepted by now."""

    task: Task
    epoch: int


@dataclass(frozen=True, slots=True)
class TakesTooLong:
    """An attempt has passed its time-out, or was asked to stop and has not."""

    task: Task
    epoch: int


@dataclass(frozen=True, slots=True)
class LeaseEnds:
    """A session's lease may be over."""

    session: Session


@dataclass(frozen=True, slots=True)
class CommitAgain:
    """A commit whose outcome is unknown is to be sent again."""

    number: int


@dataclass(frozen=True, slots=True)
class ClaimAgain:
    """It is time for the next claim."""


@dataclass(frozen=True, slots=True)
class RenewAgain:
    """It is time for the next renewal."""


Timer = (
    BecomesReady
    | LooksUnheard
    | TakesTooLong
    | LeaseEnds
    | CommitAgain
    | ClaimAgain
    | RenewAgain
)


class Timers:
    """A heap of timers; equal times come in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = 0

    def set(self, when: float, timer: Timer) -> None:
        """Have a timer come up at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, timer))

    def due(self, now: float) -> Iterator[Timer]:
        """Take out the timers whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]

    @property
    def next(self) -> float | None:
        """When the next one comes up."""
        return self._heap[0][0] if self._heap else None
