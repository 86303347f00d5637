"""Decisions on their way into the database: one commit at a time, those of a project in their
order.

What is decided while a commit is under way goes into the next, so that the end of a task and the
hand-out of its successors share a transaction. Projects take turns, so that nobody's decisions wait
behind the thousands of somebody else; those of one project keep their order. The next may begin as
soon as the one before is stored, before anybody looked at its verdicts: what it holds was decided
without them anyway.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_scheduler.core import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from savanna.conductor.v1 import execution_service_pb2 as execution

    Then = Callable[[execution.Verdict], None]


@dataclass(frozen=True, slots=True)
class Decision:
    """A change to record, and what follows from its verdict."""

    change: execution.Change
    then: Then
    joined: bool
    """Whether it goes into the same commit as the one of its project before it."""

    @property
    def weight(self) -> int:
        """Give the number of rows that it is about: new tasks are many in one change."""
        return max(1, len(self.change.spawn.tasks))


class Ledger:
    """Numbers commits, and remembers what follows from each."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._decided: OrderedDict[str, deque[Decision]] = OrderedDict()
        """By project, whose turn it is first."""

        self._parts: deque[list[Decision]] = deque()
        """Parts of a refused commit: each is a commit of its own, before anything newer."""

        self._under_way: list[Decision] = []
        self._stored: list[Decision] = []
        self._number = 0
        self._stored_number = 0

    @property
    def is_busy(self) -> bool:
        """Say whether anything is decided and not recorded."""
        return bool(self._stored or self._under_way or self._decided or self._parts)

    def decide(
        self, project_id: str, change: execution.Change, then: Then, *, joined: bool = False
    ) -> None:
        """Put a change into the next commit in which its project has its turn."""
        decided = self._decided.get(project_id)
        if decided is None:
            decided = self._decided[project_id] = deque()
        decided.append(Decision(change, then, joined))

    def next_commit(self, most_changes: Callable[[], int]) -> events.Commit | None:
        """Begin the next commit, of about so many changes at most, each new task counted as one;
        None while one is under way or nothing is decided."""
        if self._under_way or not (self._decided or self._parts):
            return None
        self._under_way = self._parts.popleft() if self._parts else self._gathered(most_changes())
        self._number += 1
        return self._commit()

    def _gathered(self, most: int) -> list[Decision]:
        """Take what was decided, as much as one commit holds, by turns."""
        gathered: list[Decision] = []
        weight = size = 0
        while self._decided and weight < most and size < self._most_bytes:
            project_id, decided = next(iter(self._decided.items()))
            turn = [decided.popleft()]
            while decided and decided[0].joined:
                turn.append(decided.popleft())
            weight += sum(each.weight for each in turn)
            size += sum(each.change.ByteSize() for each in turn)
            gathered += turn
            if decided:
                self._decided.move_to_end(project_id)
            else:
                del self._decided[project_id]
        return gathered

    def same_commit(self, number: int) -> events.Commit | None:
        """Give the commit under way once more: whether it was stored is not known."""
        return self._commit() if number == self._number and self._under_way else None

    def store(self, number: int) -> None:
        """Note that the commit under way is in the database, so that the next can begin."""
        if number == self._number and self._under_way and not self._stored:
            self._stored, self._under_way = self._under_way, []
            self._stored_number = number

    def settle(
        self, number: int, verdicts: Sequence[execution.Verdict]
    ) -> Iterator[tuple[Decision, execution.Verdict]]:
        """End a commit that is stored; gives its decisions with their verdicts, in order."""
        self.store(number)
        if number != self._stored_number:
            return
        done, self._stored = self._stored, []
        yield from zip(done, verdicts, strict=True)

    def take_back(self, number: int) -> list[Decision]:
        """Give the decisions of the commit under way, which was not stored, and forget them."""
        if number != self._number:
            return []
        refused, self._under_way = self._under_way, []
        return refused

    def in_parts(self, *parts: list[Decision]) -> None:
        """Commit decisions that were taken back, each part by itself, in this order."""
        self._parts.extendleft(reversed(parts))

    def drop(self, concerns: Callable[[Decision], bool]) -> list[Decision]:
        """Give the decisions that are not under way and concern something, and forget them."""
        dropped = [each for part in self._parts for each in part if concerns(each)]
        rest = ([each for each in part if not concerns(each)] for part in self._parts)
        self._parts = deque(part for part in rest if part)
        for project_id, decided in list(self._decided.items()):
            dropped += [each for each in decided if concerns(each)]
            if left := deque(each for each in decided if not concerns(each)):
                self._decided[project_id] = left
            else:
                del self._decided[project_id]
        return dropped

    def _commit(self) -> events.Commit:
        return events.Commit(self._number, [each.change for each in self._under_way])
