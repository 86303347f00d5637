"""Streams between engines and schedulers, and what can happen to them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from tests.simulation.engine import SimulatedSession
    from tests.simulation.scheduler import SimulatedScheduler
    from tests.simulation.world import World

_UP, _DOWN = frozenset({True}), frozenset({False})
_BOTH, _NEITHER = _UP | _DOWN, frozenset[bool]()
_NOTICED_SECONDS = 30.0
"""By then pings find out that a stream is dead."""


class Link:
    """A stream: it breaks with all that is on its way, it falls silent, it says things twice, and
    some things late."""

    def __init__(
        self, world: World, session: SimulatedSession, scheduler: SimulatedScheduler
    ) -> None:
        self.session = session
        self.scheduler = scheduler
        self.greeted = session.engine.clock()
        self.is_open = True
        self.is_refused = False
        self._world = world
        self._carries = _BOTH
        self._last = {True: 0.0, False: 0.0}

    def say_up(self, message: stream.ConnectRequest) -> None:
        """Say something to the scheduler."""
        self._carry(message, up=True)

    def say_down(self, message: stream.ConnectResponse) -> None:
        """Say something to the engine."""
        self._carry(message, up=False)

    def break_off(self) -> None:
        """Break; both ends learn it some time."""
        if self.is_open:
            self.is_open = False
            for end, told in (
                (self.scheduler, self.scheduler.link_ended),
                (self.session.engine, self.session.link_ended),
            ):
                self._world.after(self._world.delay(), partial(end.receive, partial(told, self)))

    def fall_silent(self) -> None:
        """Carry nothing any more, in one direction or in both; the ends learn it much later."""
        if self._carries == _BOTH:
            self._carries = self._world.chance.choice((_UP, _DOWN, _NEITHER))
            self._world.after(self._world.chance.uniform(1.0, _NOTICED_SECONDS), self.break_off)

    def _carry(self, message: stream.ConnectRequest | stream.ConnectResponse, *, up: bool) -> None:
        world, faults = self._world, self._world.faults
        if not self.is_open:
            return
        if not (self.session.engine.is_reachable and self.scheduler.is_reachable):
            self.fall_silent()
            self._carries = _NEITHER
        if world.happens(faults.stream_breaks, "broken streams"):
            self.break_off()
        elif world.happens(faults.goes_silent, "streams gone silent"):
            self.fall_silent()
        is_first = not self._last[up]
        for _ in range(1 + (not is_first and world.happens(faults.said_twice, "messages twice"))):
            when = world.now + world.delay()
            if not is_first and world.happens(faults.overtaken, "messages overtaken"):
                when += world.chance.uniform(0.0, 1.0)
            else:
                when = self._last[up] = max(when, self._last[up])
            world.at(when, partial(self._arrive, message, up=up))

    def _arrive(self, message: stream.ConnectRequest | stream.ConnectResponse, *, up: bool) -> None:
        if not self.is_open or up not in self._carries:
            return
        if isinstance(message, stream.ConnectRequest):
            self.scheduler.receive(partial(self.scheduler.hear, message, self))
        else:
            self.session.engine.receive(partial(self.session.hear, message, self))
