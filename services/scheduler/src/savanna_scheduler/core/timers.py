"""What is to happen at a time."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Timers:
    """Calls things when their time has come; times are monotonic seconds."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, do))

    def next(self) -> float | None:
        """Give the time of what comes first; None when nothing waits."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Do all that is due; what that adds has its turn the next time."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heapq.heappop(self._heap)[2])
        for do in due:
            do()
