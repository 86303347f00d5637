"""Engine sessions: how much each takes, what it holds, and until when it surely lives."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


@dataclass
class Session:
    """One start of an engine; also one that was only heard of, as the holder of adopted work."""

    id: str
    engine: str = ""
    """Name of the engine, the same over its restarts."""

    slots: Mapping[str, int] = field(default_factory=dict)
    connected: bool = False
    leaving: bool = False
    lease_until: float = 0.0
    """When its lease is over if nobody else renews it; asking the database before is in vain."""

    watched: bool = False
    """Whether a timer looks after the lease."""

    unknown_kinds: set[str] = field(default_factory=set)
    """Kinds of steps that it refused."""

    used: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    holds: dict[str, str] = field(default_factory=dict)
    """Pools by id of the tasks that it has or is being given."""

    def free(self, pool: str) -> int:
        """Give the number of tasks that it would take now."""
        if self.leaving or not self.connected:
            return 0
        return self.slots.get(pool, 0) - self.used[pool]

    def serves(self, pool: str, kind: str) -> bool:
        """Say whether it would take such a task, now or later."""
        able = self.connected and not self.leaving and kind not in self.unknown_kinds
        return able and self.slots.get(pool, 0) > 0

    def take(self, task_id: str, pool: str) -> None:
        """Note a hand-out."""
        if task_id not in self.holds:
            self.holds[task_id] = pool
            self.used[pool] += 1

    def give_back(self, task_id: str) -> None:
        """Note the end of an attempt."""
        pool = self.holds.pop(task_id, None)
        if pool is not None:
            self.used[pool] -= 1


class Sessions:
    """All sessions that are connected or hold something."""

    def __init__(self) -> None:
        self._by_id: dict[str, Session] = {}
        self.drained: dict[str, Session] = {}
        """By id, those of engines that get nothing while others can do the work."""

    def __iter__(self) -> Iterator[Session]:
        return iter(self._by_id.values())

    def get(self, session_id: str) -> Session | None:
        """Find a session; None once it is over."""
        return self._by_id.get(session_id)

    def find_or_add(self, session_id: str, engine: str = "") -> Session:
        """Find a session, or begin to know it; its engine is known when it was named once."""
        session = self._by_id.get(session_id)
        if session is None:
            session = self._by_id[session_id] = Session(session_id)
        session.engine = engine or session.engine
        return session

    def remove(self, session_id: str) -> None:
        """Forget a session."""
        self._by_id.pop(session_id, None)
        self.drained.pop(session_id, None)

    def freest(self, pool: str, kind: str = "") -> Session | None:
        """Choose the session with most room, so that work spreads over all engines; with a kind,
        among those that know it.

        Those that are drained come into question only where nobody else does.
        """
        if not self.drained:
            return _freest(self, pool, kind)
        trusted = [each for each in self if each.id not in self.drained]
        if any(each.serves(pool, kind) for each in trusted):
            return _freest(trusted, pool, kind)
        return _freest(self.drained.values(), pool, kind)


def _freest(sessions: Iterable[Session], pool: str, kind: str) -> Session | None:
    best, most = None, 0
    for each in sessions:
        room = each.free(pool)
        if room > most and kind not in each.unknown_kinds:
            best, most = each, room
    return best
