"""What goes wrong on a large scale, and what people do meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


class Adversary:
    """Chooses what happens next."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._plan()

    def _plan(self) -> None:
        rate = 1 / self._world.faults.accident_every
        self._world.after(self._world.chance.expovariate(rate), self._strike)

    def _strike(self) -> None:
        world = self._world
        if world.now >= world.faults.until:
            return
        accidents = world.faults.accidents
        kind = world.chance.choices(list(accidents), list(accidents.values()))[0]
        world.met[kind] += 1
        world.note("adversary", kind)
        room, _, verb = kind.partition(" ")
        if kind.endswith("killed"):
            self._kill(room)
        elif room in ("engines", "schedulers"):
            self._disturb(room, verb)
        elif room == "conductor":
            self._hinder(verb)
        else:
            self._meddle(room)
        self._plan()

    def _kill(self, what: str) -> None:
        world = self._world
        engines, schedulers = list(world.engines), list(world.schedulers)
        if what in ("engines", "schedulers"):
            engines = world.some(engines) if what == "engines" else []
            schedulers = world.some(schedulers) if what == "schedulers" else []
        for engine in engines:
            world.replace_engine(engine, world.chance.uniform(0.1, 5.0))
        for scheduler in schedulers if what != "all" else ():
            world.replace_scheduler(scheduler, world.chance.uniform(0.1, 8.0))

    def _disturb(self, room: str, verb: str) -> None:
        world = self._world
        there = world.engines if room == "engines" else world.schedulers
        for chosen in world.some(there):
            seconds = world.chance.uniform(0.1, world.faults.longest_pause)
            if verb == "frozen":
                chosen.freeze(seconds)
            elif verb == "cut off":
                chosen.cut_off(seconds)
            elif verb == "without conductor":
                chosen.lose_conductor(seconds)
            else:
                chosen.receive(chosen.leave)

    def _hinder(self, how: str) -> None:
        world = self._world
        until = world.now + world.chance.uniform(0.1, 8.0)
        if how == "down":
            world.conductor.down_until = until
        else:
            world.conductor.slow_until = until

    def _meddle(self, what: str) -> None:
        world = self._world
        if what == "cancels":
            world.database.request_cancel(world.chance.choice(list(world.database.operations)))
        elif what == "operations":
            world.submit()
        else:
            links = [link for each in world.engines for link in each.session.links.values()]
            for link in world.some(links):
                link.fall_silent()
