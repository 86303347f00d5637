"""Everything there is, in virtual time and from one seed."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING, TypeVar

from tests.simulation.adversary import Adversary
from tests.simulation.checker import Checker
from tests.simulation.conductor import Conductor
from tests.simulation.engine import SimulatedEngine
from tests.simulation.faults import BrokenPromiseError, Faults
from tests.simulation.hosts import Hosts
from tests.simulation.scheduler import SimulatedScheduler
from tests.simulation.streams import Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.simulation.engine import SimulatedSession

T = TypeVar("T")


class World:
    """Time, chance, and who is there."""

    def __init__(self, seed: int, faults: Faults, story: deque[str] | None = None) -> None:
        self.chance = Random(seed)
        self._seed = seed
        self.faults = faults
        self.now = 0.0
        self.events = 0
        self.met: Counter[str] = Counter()
        self._story = story
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._names = 0
        self.conductor = Conductor(self)
        self.database = self.conductor.database
        self.checker = Checker(self.database)
        self.hosts = Hosts(self)
        for _ in range(self.chance.randint(1, 4)):
            self.submit()
        self.schedulers: list[SimulatedScheduler] = []
        self.engines: list[SimulatedEngine] = []
        for _ in range(self.chance.randint(1, 2)):
            self._add_scheduler()
        for number in range(self.chance.randint(1, 3)):
            self._add_engine(f"machine{number}")
        self._look_around()
        Adversary(self)

    def run(self) -> None:
        """Let the world go on until every operation has ended.

        Raises ``BrokenPromiseError``.
        """
        checker, heap = self.checker, self._heap
        while checker.open:
            self.now, _, do = heapq.heappop(heap)
            self.database.now = self.now
            self.events += 1
            do()
        checker.finished()

    # Time and chance.

    def at(self, when: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.now + seconds, do)

    def delay(self) -> float:
        """Give the time of a message: mostly short, sometimes long."""
        chance = self.chance
        if self.now < self.faults.until and chance.random() < self.faults.slow:
            return chance.uniform(0.5, 3.0)
        return 0.001 + 0.02 * chance.random()

    def effort(self) -> float:
        """Give the time of a step: mostly a moment, sometimes much longer than a lease."""
        chance = self.chance
        return (
            chance.uniform(4.0, 15.0)
            if chance.random() < self.faults.long_steps
            else chance.expovariate(0.7)
        )

    def happens(self, probability: float, kind: str) -> bool:
        """Say whether a fault happens now."""
        if self.now >= self.faults.until or self.chance.random() >= probability:
            return False
        self.met[kind] += 1
        return True

    def some(self, there: Sequence[T]) -> list[T]:
        """Choose one, if there is any."""
        return [self.chance.choice(there)] if there else []

    def note(self, who: str, what: str) -> None:
        """Remember what happened, for the story of a seed that fails."""
        if self._story is not None:
            self._story.append(f"{self.now:9.3f} s  {who:10} {what}")

    def _look_around(self) -> None:
        checker, faults = self.checker, self.faults
        checker.look_around()
        if self.now - max(checker.last_change, faults.until) > faults.patience:
            raise BrokenPromiseError(f"nothing goes on: {', '.join(checker.open)} never end")
        self.after(1.0, self._look_around)

    # Who is there.

    def submit(self) -> None:
        """Store an operation."""
        self._names += 1
        operation_id = f"op{self._names}/{self._seed}"
        self.database.create(operation_id, f"p{self._names % 2}")
        self.checker.submitted(operation_id, self.database.task("plan/1", operation_id))

    def connect(self, session: SimulatedSession, scheduler_id: str) -> Link | None:
        """Open a stream; None when nobody is there."""
        for each in self.schedulers:
            if each.id == scheduler_id:
                return Link(self, session, each)
        return None

    def replace_engine(self, engine: SimulatedEngine, seconds: float = 0.1) -> None:
        """End an engine; another starts some time later."""
        if engine.alive:
            engine.die()
            self.engines.remove(engine)
            self.after(seconds, partial(self._add_engine, engine.machine))

    def replace_scheduler(self, scheduler: SimulatedScheduler, seconds: float) -> None:
        """End a scheduler; another starts some time later."""
        if scheduler.alive:
            scheduler.die()
            self.schedulers.remove(scheduler)
            self.after(seconds, self._add_scheduler)

    def _add_engine(self, machine: str) -> None:
        self._names += 1
        self.engines.append(SimulatedEngine(self, f"engine{self._names}", machine))

    def _add_scheduler(self) -> None:
        self._names += 1
        self.schedulers.append(SimulatedScheduler(self, f"scheduler{self._names}"))
