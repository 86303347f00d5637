"""What no engine serves: how long that has been so."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savanna_scheduler.core.scheduler import SchedulerCore


class Unserved:
    """Remembers since when tasks wait for a pool, or for a kind in it, that no engine serves.

    While no engine is connected at all, nothing is held against any task: they come back.
    """

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self._since: dict[tuple[str, str], float] = {}

    def is_for_long(self, pool: str, kind: str = "") -> bool:
        """Say whether patience with what waits is over; asked after each event while any waits."""
        core, key = self._core, (pool, kind)
        if any(each.serves(pool, kind) for each in core.sessions) or not any(
            each.connected for each in core.sessions
        ):
            self._since.pop(key, None)
            return False
        if key not in self._since:
            self._since[key] = core.now
            # An event at that time, so that it is asked again.
            core.timers.at(core.now + core.policy.unserved_patience, lambda: None)
        if core.now - self._since[key] < core.policy.unserved_patience:
            return False
        del self._since[key]
        return True
