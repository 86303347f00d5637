"""Ready tasks, by pool, handed out fairly: stride scheduling between projects (Waldspurger and
Weihl, 1995)."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna_scheduler.core.graph import Phase

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import TaskNode


@dataclass
class _Project:
    """Ready tasks of one project in one pool, best first."""

    passed: float = 0.0
    heap: list[tuple[int, int, TaskNode]] = field(default_factory=list)


class ReadyTasks:
    """What waits for an engine in one pool.

    A project that wakes up starts level with the others:
    it can not hoard.
    """

    def __init__(self) -> None:
        self._projects: dict[str, _Project] = defaultdict(_Project)
        self._order: list[tuple[float, str]] = []
        self._counter = 0
        self._least = 0.0

    def __bool__(self) -> bool:
        return bool(self._order)

    def push(self, node: TaskNode) -> None:
        """Add a ready task."""
        name = node.graph.operation.project_id
        project = self._projects[name]
        if not project.heap:
            project.passed = max(project.passed, self._least)
            heapq.heappush(self._order, (project.passed, name))
        self._counter += 1
        heapq.heappush(project.heap, (-node.spec.priority, self._counter, node))

    def pop(self) -> TaskNode | None:
        """Take the next task that is still ready; None when there is none."""
        while self._order:
            passed, name = heapq.heappop(self._order)
            project = self._projects[name]
            node = heapq.heappop(project.heap)[2]
            self._least = passed
            alive = node.phase is Phase.READY
            project.passed = passed + alive
            if project.heap:
                heapq.heappush(self._order, (project.passed, name))
            if alive:
                return node
        return None
