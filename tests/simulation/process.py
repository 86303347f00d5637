"""A process: it can die, freeze and wake up, and its clock is its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.simulation.streams import Link
    from tests.simulation.world import World

_HOUR = 3600.0
_DRIFT = 0.01


class Process:
    """Things happen in it while it lives; what comes while it is frozen waits until it wakes."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.alive = True
        self.woken = -_HOUR
        """When it last woke up."""

        self.is_reachable = True
        self.reaches_conductor = True
        self._held: list[tuple[bool, Callable[[], None]]] = []
        """What waits until it wakes, and whether that is a timer of its own."""

        self._frozen_until = 0.0
        self._offset = world.chance.uniform(0.0, 100 * _HOUR)
        self._rate = 1.0 + world.chance.uniform(-_DRIFT, _DRIFT)

    def clock(self) -> float:
        """Give its monotonic seconds."""
        return self._offset + self.world.now * self._rate

    @property
    def is_frozen(self) -> bool:
        return self.world.now < self._frozen_until

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after so many of its own seconds."""
        self.world.after(seconds / self._rate, partial(self.receive, do, is_timer=True))

    def receive(self, do: Callable[[], None], *, is_timer: bool = False) -> None:
        """Let something happen in it."""
        if not self.alive:
            return
        if self._held or self.is_frozen:
            self._held.append((is_timer, do))
        else:
            do()

    def leave(self) -> None:
        """End in order."""
        raise NotImplementedError

    def cut(self, links: Iterable[Link]) -> None:
        """End streams as a death does: the machine says so, unless it died as well."""
        says_so = self.world.chance.random() < 0.7
        for link in links:
            if says_so:
                link.break_off()
            else:
                link.fall_silent()

    def freeze(self, seconds: float) -> None:
        """Stop as a debugger stops it."""
        if not self.is_frozen:
            self._frozen_until = self.world.now + seconds
            self.world.after(seconds, self._wake)

    def cut_off(self, seconds: float) -> None:
        """Let nothing that it says arrive anywhere, nor the other way; hosts it reaches."""
        self.is_reachable = False
        self.world.after(seconds, self._reconnect)

    def lose_conductor(self, seconds: float) -> None:
        """Let no call of the conductor succeed."""
        self.reaches_conductor = False
        self.world.after(seconds, self._reconnect)

    def _reconnect(self) -> None:
        self.is_reachable = self.reaches_conductor = True

    def _wake(self) -> None:
        self.woken = self.world.now
        held, self._held = self._held, []
        if self.world.chance.random() < 0.5:
            # It reads its streams before it looks at its timers.
            held.sort(key=lambda each: each[0])
        for is_timer, do in held:
            self.receive(do, is_timer=is_timer)
