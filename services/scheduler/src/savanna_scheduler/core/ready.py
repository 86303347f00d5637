"""Ready tasks, handed out fairly: by turns between projects, and between the operations of each
(stride scheduling: Waldspurger and Weihl, 1995)."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from savanna_scheduler.core.graph import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from savanna_scheduler.core.graph import TaskNode

_KEPT = 256
"""Names without anything ready that are remembered, before those of long ago are forgotten."""

Queue = TypeVar("Queue", "Tasks", "Turns[Tasks]")


class Tasks:
    """Ready tasks of one operation: those of higher priority first, else in order of arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TaskNode]] = []
        self._count = 0

    def __bool__(self) -> bool:
        return bool(self._heap)

    def push(self, node: TaskNode) -> None:
        """Add a task."""
        self._count += 1
        heapq.heappush(self._heap, (-node.spec.priority, self._count, node))

    def __iter__(self) -> Iterator[TaskNode]:
        return (node for _, _, node in self._heap if node.phase is Phase.READY)

    def pop(self) -> TaskNode | None:
        """Take the next one; None when it is not ready any more."""
        node = heapq.heappop(self._heap)[2]
        return node if node.phase is Phase.READY else None


@dataclass
class _Turn(Generic[Queue]):
    """One of those who take turns; ``passed`` counts the turns that it had."""

    queue: Queue
    passed: int


class Turns(Generic[Queue]):
    """Queues, by name, of which each has its turn.

    One that wakes up starts level with the others: it can not hoard. One that had its turn and is
    empty for a moment has had it: it can not push in either.
    """

    def __init__(self, name: Callable[[TaskNode], str], make: Callable[[], Queue]) -> None:
        self._name = name
        self._make: Callable[[], Queue] = make
        self._turns: dict[str, _Turn[Queue]] = {}
        self._order: list[tuple[int, str]] = []
        """Those that have something, with the turns that they had."""

        self._least = 0

    def __bool__(self) -> bool:
        return bool(self._order)

    def push(self, node: TaskNode) -> None:
        """Add a ready task."""
        name = self._name(node)
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = _Turn(self._make(), self._least)
        if not turn.queue:
            turn.passed = max(turn.passed, self._least)
            heapq.heappush(self._order, (turn.passed, name))
        turn.queue.push(node)

    def __iter__(self) -> Iterator[TaskNode]:
        return (node for turn in self._turns.values() for node in turn.queue)

    def pop(self) -> TaskNode | None:
        """Take the next task of who is next; None when it is not ready any more, which uses up no
        turn."""
        self._least, name = self._order[0]
        turn = self._turns[name]
        node = turn.queue.pop()
        turn.passed += node is not None
        if turn.queue:
            heapq.heapreplace(self._order, (turn.passed, name))
        else:
            heapq.heappop(self._order)
            self._forget_some()
        return node

    def _forget_some(self) -> None:
        """Forget those who have nothing and would start level with the others in any case."""
        if len(self._turns) > 2 * len(self._order) + _KEPT:
            self._turns = {
                name: turn
                for name, turn in self._turns.items()
                if turn.queue or turn.passed > self._least
            }


class ReadyTasks:
    """What waits for an engine in one pool."""

    def __init__(self) -> None:
        self._projects: Turns[Turns[Tasks]] = Turns(_project, _operations)

    def __bool__(self) -> bool:
        return bool(self._projects)

    def push(self, node: TaskNode) -> None:
        """Add a ready task."""
        self._projects.push(node)

    def __iter__(self) -> Iterator[TaskNode]:
        return iter(self._projects)

    def pop(self) -> TaskNode | None:
        """Take the next task that is still ready; None when there is none."""
        while self._projects:
            node = self._projects.pop()
            if node is not None:
                return node
        return None


def _project(node: TaskNode) -> str:
    return node.graph.operation.project_id


def _operation(node: TaskNode) -> str:
    return node.graph.id


def _operations() -> Turns[Tasks]:
    return Turns(_operation, Tasks)
