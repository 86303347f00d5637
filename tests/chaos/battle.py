"""Blows as they are dealt: to real processes, with a note of each death, freeze and recovery."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter, defaultdict
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from savanna_kit.errors import Unavailable
from tests.chaos.adversary import KILLS, Kind
from tests.chaos.plans import ALL, role_of
from tests.chaos.recovery import Sample, until_none, until_served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from savanna_all_in_one.mesh import Mesh
    from savanna_client import Client
    from tests.chaos.adversary import Blow
    from tests.chaos.database import Database
    from tests.chaos.line import Line
    from tests.chaos.plans import ChaosPlan
    from tests.chaos.recovery import Ledger

    Measure = tuple[str, Callable[[], Awaitable[float]]]

_OF_LINES = frozenset({Kind.CUT, Kind.HANG, Kind.DELAY})

CRASH_SECONDS = 8.0
"""How long a process may take to pass its crash point; then it is killed where it is."""


@dataclass(frozen=True)
class Field:
    """Everything that can be hurt, and what is needed to see how it recovers."""

    mesh: Mesh
    plan: ChaosPlan
    ledger: Ledger
    clients: Sequence[Client]
    lines: Mapping[str, Line] = field(default_factory=dict)
    database: Database | None = None


class Battle:
    """Deals blows, and keeps what it did."""

    def __init__(self, given: Field) -> None:
        self.deaths: dict[int, float] = {}
        self.freezes: dict[int, list[tuple[float, float]]] = defaultdict(list)
        self.samples: list[Sample] = []
        self.met: Counter[str] = Counter()
        """Blows by kind; crash points by name."""

        self.kills = 0
        self.complaints: list[str] = []
        self.story: list[str] = []
        self._field = given
        self._mesh = given.mesh
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._dealt = 0
        self._under_way: set[int] = set()
        self._crossed: set[int] = set()
        """Blows that began while another had not been recovered from."""

        self._pending: set[asyncio.Task[None]] = set()
        self._began = time.time()

    async def fight(self, blows: Sequence[Blow]) -> None:
        """Deal all blows, and return when everything serves again."""
        for blow in blows:
            if blow.calm:
                await self._settled()
            await asyncio.sleep(blow.wait)
            self._dealt += 1
            self._pending.add(asyncio.create_task(self._deal(blow, self._dealt)))
        await self._settled()

    async def _settled(self) -> None:
        pending, self._pending = self._pending, set()
        await asyncio.gather(*pending)

    async def _deal(self, blow: Blow, number: int) -> None:
        deal = {
            Kind.KILL: self._kill,
            Kind.CRASH: self._crash,
            Kind.FREEZE: self._freeze,
            Kind.CUT: self._cut,
            Kind.HANG: self._hang,
            Kind.DELAY: self._delay,
            Kind.DATABASE: self._stop_database,
            Kind.EVERYTHING: self._kill_everything,
        }[blow.kind]
        # A line is no process: both may be hurt at once.
        whom = f"line {blow.victim}" if blow.kind in _OF_LINES else blow.victim
        async with self._locks[whom]:
            self.tell(str(blow))
            self.met[str(blow.kind)] += 1
            self.kills += blow.kind in KILLS
            if self._under_way:
                self._crossed.add(number)
            self._under_way.add(number)
            try:
                await deal(blow, number)
            finally:
                self._under_way.remove(number)

    # Blows.

    async def _kill(self, blow: Blow, number: int) -> None:
        measures = await self._measures(blow.victim)
        self._end(blow.victim)
        # Whoever is alone can not recover while it is kept from starting.
        struck = time.time() + (blow.seconds if role_of(blow.victim) == ALL else 0.0)
        async with self._measured(measures, struck, number):
            await asyncio.sleep(blow.seconds)
            await self._start(blow.victim)

    async def _crash(self, blow: Blow, number: int) -> None:
        """Have the victim begin anew with a crash point before it, and die there."""
        self._end(blow.victim)
        at = {"SAVANNA_CRASH_AT": f"{blow.point}:{blow.passes}"}
        self._mesh.start(blow.victim, {**at, "SAVANNA_CRASH_ON_PURPOSE": "yes"})
        await self._lead_to(blow.victim)
        deadline = time.time() + CRASH_SECONDS
        while not self._mesh.has_ended(blow.victim) and time.time() < deadline:
            await asyncio.sleep(0.02)
        if self._mesh.has_ended(blow.victim):
            self.met[blow.point] += 1
        self._end(blow.victim)
        measures = await self._measures(blow.victim)
        async with self._measured(measures, time.time(), number):
            await self._start(blow.victim)

    async def _lead_to(self, victim: str) -> None:
        """Cut the lines to the victim's peers: their callers went there when it died, and would
        stay."""
        with suppress(Unavailable):
            # It may die before it serves.
            await asyncio.to_thread(self._mesh.wait, victim)
        for name, line in self._field.lines.items():
            if role_of(name) == role_of(victim) and name != victim:
                line.cut()

    async def _freeze(self, blow: Blow, number: int) -> None:
        measures = [(f"{name}, frozen", seen) for name, seen in await self._measures(blow.victim)]
        process = self._mesh.pid(blow.victim)
        frozen = time.time()
        async with self._measured(measures, frozen, number):
            os.kill(process, signal.SIGSTOP)
            try:
                await asyncio.sleep(blow.seconds)
            finally:
                self.freezes[process].append((frozen, time.time()))
                os.kill(process, signal.SIGCONT)

    async def _cut(self, blow: Blow, number: int) -> None:
        del number
        self._field.lines[blow.victim].cut()

    async def _hang(self, blow: Blow, number: int) -> None:
        await self._delay(blow, number)
        self._field.lines[blow.victim].cut()

    async def _delay(self, blow: Blow, number: int) -> None:
        del number
        line = self._field.lines[blow.victim]
        line.hang()
        try:
            await asyncio.sleep(blow.seconds)
        finally:
            line.flow()

    async def _stop_database(self, blow: Blow, number: int) -> None:
        database = self._field.database
        assert database is not None
        await asyncio.to_thread(database.stop_at_once)
        await asyncio.sleep(blow.seconds)
        # Nothing can recover while it is kept from starting.
        served = [("database", lambda: until_served(self._field.clients))]
        async with self._measured(served, time.time(), number):
            await asyncio.to_thread(database.start)

    async def _kill_everything(self, blow: Blow, number: int) -> None:
        del blow
        names = [each for each in self._field.plan.names() if each != "simulator"]
        async with AsyncExitStack() as stack:
            for each in sorted(names):
                await stack.enter_async_context(self._locks[each])
            for each in names:
                self._end(each)
            served = [("everything", lambda: until_served(self._field.clients))]
            async with self._measured(served, time.time(), number):
                for each in names:
                    self._mesh.start(each)
                for each in names:
                    await self._serves(each)

    # Processes.

    def _end(self, victim: str) -> None:
        """Kill a process, or note that it is dead."""
        process = self._mesh.pid(victim)
        self._mesh.kill(victim)
        self.deaths[process] = time.time()

    async def _start(self, victim: str) -> None:
        self._mesh.start(victim)
        await self._serves(victim)

    async def _serves(self, victim: str) -> None:
        """Wait until a victim serves again; one that does not is started once more, as whoever
        looks after processes would."""
        try:
            await asyncio.to_thread(self._mesh.wait, victim)
        except Unavailable as error:
            self.complaints.append(f"END {victim} does not come back: {error}")
            self._end(victim)
            self._mesh.start(victim)
            await asyncio.to_thread(self._mesh.wait, victim)

    # Recoveries.

    async def _measures(self, victim: str) -> list[Measure]:
        """Say how the recovery from a death is seen, by the name of what recovers."""
        role = role_of(victim)
        ledger, clients = self._field.ledger, self._field.clients
        try:
            if role == ALL:
                held = await ledger.tasks_of("engine")
                return [
                    ("all, serves again", lambda: until_served(clients)),
                    *([("all, steps go on", lambda: until_none(held))] if await held() else []),
                ]
            if role == "engine":
                held = await ledger.tasks_of(victim)
                return [(role, lambda: until_none(held))] if await held() else []
            if role == "scheduler":
                owned = await ledger.operations_of(self._field.plan.line(victim))
                return [(role, lambda: until_none(owned))] if await owned() else []
        except SQLAlchemyError:
            # The database is hurt itself: nothing is known, nothing is measured.
            return []
        if role in ("api", "conductor"):
            return [(role, lambda: until_served(clients))]
        return []

    @asynccontextmanager
    async def _measured(
        self, measures: Sequence[Measure], struck: float, number: int
    ) -> AsyncIterator[None]:
        """Measure recoveries while the block runs, and until all are there."""
        async with asyncio.TaskGroup() as group:
            for each in measures:
                group.create_task(self._measure(each, struck, number))
            yield

    async def _measure(self, measure: Measure, struck: float, number: int) -> None:
        name, seen = measure
        try:
            recovered = await seen()
        except TimeoutError:
            self.tell(f"{name} has not recovered in a minute")
            self.complaints.append(f"END {name} did not recover in a minute")
            return
        is_alone = number == self._dealt and number not in self._crossed
        sample = Sample(name, recovered - struck, alone=is_alone)
        self.tell(f"{name} recovered in {sample.seconds:.2f} s")
        self.samples.append(sample)

    def tell(self, what: str) -> None:
        """Add a line to the story."""
        self.story.append(f"{time.time() - self._began:7.2f}  {what}")
