"""Engine sessions: how much each takes, what it holds, and whether it is there."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass
class Session:
    """One start of an engine."""

    id: str
    engine_id: str
    slots: Mapping[str, int]
    connected: bool = True
    leaving: bool = False
    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[str, int] = field(default_factory=dict)
    """Epochs by id of the tasks that it has or is being given."""

    def free(self, pool: str) -> int:
        """Give the number of tasks that it would take now."""
        if self.leaving or not self.connected:
            return 0
        return self.slots.get(pool, 0) - self.used[pool]

    def take(self, task_id: str, epoch: int, pool: str) -> None:
        """Note a hand-out."""
        if task_id not in self.holds:
            self.used[pool] += 1
        self.holds[task_id] = epoch

    def give_back(self, task_id: str, pool: str) -> None:
        """Note the end of an attempt."""
        if self.holds.pop(task_id, None) is not None:
            self.used[pool] -= 1


def freest(sessions: Iterable[Session], pool: str) -> Session | None:
    """Choose the session with most room, so that work spreads over all engines."""
    best = max(sessions, key=lambda each: each.free(pool), default=None)
    return best if best is not None and best.free(pool) > 0 else None
