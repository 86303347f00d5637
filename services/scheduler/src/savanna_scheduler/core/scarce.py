"""What tasks share that is scarce: how much of it is taken, and who waits for it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from savanna_scheduler.core.ready import ReadyTasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_scheduler.core.graph import TaskNode


class Scarce:
    """Counts, by key, the tasks in the hands of engines; keeps those that a limit holds back.

    Several schedulers share a limit in equal parts, none of which is nothing.
    """

    def __init__(self) -> None:
        self.schedulers = 1
        self.taken: dict[str, int] = defaultdict(int)
        self._waiting: dict[str, ReadyTasks] = {}
        self._limits: dict[str, int] = {}
        """By key, as the newest task that waits for it says."""

    def waiting(self) -> Iterator[TaskNode]:
        """Give those that wait, in no order."""
        return (node for each in self._waiting.values() for node in each)

    def lacks(self, node: TaskNode) -> str:
        """Give a key of which nothing is left for a task; empty when it has all it takes."""
        for key, limit in node.limits.items():
            if self.taken.get(key, 0) >= self._part(limit):
                return key
        return ""

    def take(self, node: TaskNode) -> None:
        """Note that a task is handed out."""
        for key in node.limits:
            self.taken[key] += 1

    def give_back(self, node: TaskNode) -> None:
        """Note that a task is out of the hands of its engine."""
        for key in node.limits:
            self.taken[key] -= 1
            if not self.taken[key]:
                del self.taken[key]

    def wait(self, node: TaskNode, key: str) -> None:
        """Keep a task until something is left of a key."""
        self._limits[key] = node.limits[key]
        self._waiting.setdefault(key, ReadyTasks()).push(node)

    def free(self) -> Iterator[TaskNode]:
        """Take those that have waited, as many as there is something left for, in their turns."""
        for key in list(self._waiting):
            waiting = self._waiting[key]
            for _ in range(self.taken.get(key, 0), self._part(self._limits[key])):
                node = waiting.pop()
                if node is None:
                    break
                yield node
            if not waiting:
                del self._waiting[key], self._limits[key]

    def _part(self, limit: int) -> int:
        return max(1, limit // self.schedulers)
