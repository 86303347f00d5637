"""Deterministic simulation: real scheduler cores in a world that fails, all from one seed.

Time is virtual. Streams break with what is on its way, say things twice and are slow; engines and
schedulers die, freeze and come back; commits fail, or are stored and their answer is lost. Whatever
happens, the promises in ``World`` hold. More seeds than the tests take:

    python -m tests.unit.scheduler.simulation --seeds 5000
"""

from __future__ import annotations

import argparse
import heapq
import sys
import time
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna_scheduler.core.scheduler import SchedulerCore
from tests.unit.scheduler.database import Database
from tests.unit.scheduler.simulated_engine import SimulatedEngine, wanted_steps
from tests.unit.scheduler.simulated_scheduler import SimulatedScheduler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from savanna.conductor.v1 import execution_service_pb2 as execution
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream

Operation = operation_pb2.Operation
Task = operation_pb2.Task


class BrokenPromiseError(AssertionError):
    """Something happened that never may."""


@dataclass(frozen=True)
class Faults:
    """How bad the world is, and what is left out of the system to see that it is noticed."""

    until: float = 40.0
    """Seconds after which nothing more goes wrong."""

    commit_fails: float = 0.05
    commit_answer_lost: float = 0.05
    claim_answer_lost: float = 0.02
    stream_cut: float = 0.01
    said_twice: float = 0.05
    refuse: float = 0.05
    accident_every: float = 2.0
    """Mean seconds between deaths, pauses and cancels."""

    self_fence: bool = True
    checks_epochs: bool = True
    core: type[SchedulerCore] = SchedulerCore


@dataclass
class Link:
    """A stream between an engine and a scheduler: in order, until it breaks."""

    world: World
    engine: SimulatedEngine
    scheduler: SimulatedScheduler
    is_open: bool = True
    hello_at: float = 0.0
    _last: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})

    def to_scheduler(self, message: stream.ConnectRequest) -> None:
        self._carry(lambda: self.scheduler.hear(message, self), up=True)

    def to_engine(self, message: stream.ConnectResponse) -> None:
        self._carry(lambda: self.engine.hear(message, self), up=False)

    def cut(self) -> None:
        """Break; what is on its way is lost."""
        if self.is_open:
            self.is_open = False
            self.world.after(self.world.delay(), lambda: self.scheduler.disconnected(self))

    def _carry(self, deliver: Callable[[], None], *, up: bool) -> None:
        if not self.is_open:
            return
        if self.world.happens(self.world.faults.stream_cut):
            self.cut()
            return
        for _ in range(1 + self.world.happens(self.world.faults.said_twice)):
            self._last[up] = max(self._last[up], self.world.now + self.world.delay())
            self.world.at(self._last[up], lambda: self._arrive(deliver))

    def _arrive(self, deliver: Callable[[], None]) -> None:
        if self.is_open:
            deliver()


class World:
    """Everything there is, and the promises that hold in it."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.chance = Random(seed)
        self.faults = faults
        self.now = 0.0
        self.database = Database(checks_epochs=faults.checks_epochs)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._names = 0
        self.events = 0
        for number in range(self.chance.randint(1, 4)):
            self.database.create(f"op{number}/{seed}", f"p{number % 2}")
        self._schedulers = [self._new_scheduler() for _ in range(self.chance.randint(1, 2))]
        self._engines = [self._new_engine() for _ in range(self.chance.randint(1, 3))]
        self._plan_accident()

    def run(self) -> None:
        """Let the world go on until every operation has ended.

        Raises ``BrokenPromiseError``.
        """
        while any(not row.is_over for row in self.database.operations.values()):
            if self.now > self.faults.until + 120.0:
                left = [
                    row.message.id for row in self.database.operations.values() if not row.is_over
                ]
                raise BrokenPromiseError(f"operations never end: {left}")
            when, _, do = heapq.heappop(self._heap)
            self.now = self.database.now = when
            self.events += 1
            do()
        for operation_id, row in self.database.operations.items():
            self._check_end(operation_id, row.message)

    # Promises.

    def begun(self, engine: SimulatedEngine, task_id: str, epoch: int) -> None:
        """A task is begun only as recorded, and by one living engine at a time."""
        if (task_id, epoch, engine.session_id) not in self.database.assigned:
            raise BrokenPromiseError(f"{task_id} was handed out before that was recorded")
        for other in self._engines:
            if (
                other is not engine
                and other.alive
                and not other.paused
                and task_id in other.running
            ):
                raise BrokenPromiseError(f"{task_id} runs on two engines at once")

    def acknowledged(self, task_id: str, epoch: int) -> None:
        """A result is acknowledged only when its attempt has ended in the database."""
        if (task_id, epoch) not in self.database.ends:
            raise BrokenPromiseError(f"{task_id} was acknowledged before it was recorded")

    def commit(self, request: execution.CommitRequest) -> execution.CommitResponse:
        """An attempt ends once; an operation ends when nothing of it runs."""
        answer = self.database.commit(request)
        for change in request.changes:
            inner = getattr(change, change.WhichOneof("change") or "")
            attempt = (getattr(inner, "task_id", ""), getattr(inner, "epoch", 0))
            if len(self.database.ends.get(attempt, ())) > 1:
                raise BrokenPromiseError(f"attempt {attempt} was ended twice")
            if change.HasField("end_operation"):
                self._check_quiet(change.end_operation.operation_id)
        return answer

    def _check_quiet(self, operation_id: str) -> None:
        if not self.database.operations[operation_id].is_over:
            return
        for engine in self._engines:
            for task_id in engine.running:
                if engine.alive and not engine.paused and task_id.startswith(f"{operation_id}:"):
                    raise BrokenPromiseError(f"{task_id} runs although its operation is over")

    def _check_end(self, operation_id: str, operation: Operation) -> None:
        if operation.failure.reason == "PLAN_STUCK":
            raise BrokenPromiseError(f"{operation_id} was planned into a dead end")
        tasks = {each.spec.key: each for each in self.database.tasks_of(operation_id)}
        if operation.state == Operation.STATE_SUCCEEDED:
            for each in wanted_steps(operation_id):
                if tasks[each.key].state != Task.STATE_SUCCEEDED:
                    raise BrokenPromiseError(f"{each.key} was lost, {operation_id} succeeded")
        for task in tasks.values():
            if task.state in (Task.STATE_PENDING, Task.STATE_ASSIGNED):
                raise BrokenPromiseError(f"{task.id} is open, {operation_id} is over")

    # Time and chance.

    def at(self, when: float, do: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, do))

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        self.at(self.now + seconds, do)

    def delay(self) -> float:
        """Give the time of a message: mostly short, sometimes long."""
        slow = self.now < self.faults.until and self.chance.random() < 0.02
        return self.chance.uniform(0.5, 3.0) if slow else self.chance.uniform(0.001, 0.02)

    def happens(self, probability: float) -> bool:
        return self.now < self.faults.until and self.chance.random() < probability

    # Who is there.

    def living_schedulers(self) -> Iterator[SimulatedScheduler]:
        return (each for each in self._schedulers if each.alive)

    def connect(self, engine: SimulatedEngine, scheduler_id: str) -> Link:
        scheduler = next(each for each in self._schedulers if each.id == scheduler_id)
        return Link(self, engine, scheduler)

    def refused(self, engine: SimulatedEngine) -> None:
        if engine.alive:
            self.replace_engine(engine)

    def replace_engine(self, engine: SimulatedEngine, seconds: float = 0.1) -> None:
        engine.die()
        self.after(seconds, lambda: self._engines.append(self._new_engine()))

    def replace_scheduler(self, scheduler: SimulatedScheduler, seconds: float) -> None:
        self._schedulers.remove(scheduler)
        self.after(seconds, lambda: self._schedulers.append(self._new_scheduler()))

    def _new_engine(self) -> SimulatedEngine:
        self._names += 1
        return SimulatedEngine(self, f"e{self._names}")

    def _new_scheduler(self) -> SimulatedScheduler:
        self._names += 1
        return SimulatedScheduler(self, f"s{self._names}")

    def _plan_accident(self) -> None:
        self.after(self.chance.expovariate(1 / self.faults.accident_every), self._accident)

    def _accident(self) -> None:
        if self.now >= self.faults.until:
            return
        engines = [each for each in self._engines if each.alive]
        schedulers = list(self.living_schedulers())
        kind = self.chance.choice(["engine", "engine", "pause", "scheduler", "freeze", "cancel"])
        if kind == "engine" and engines:
            self.replace_engine(self.chance.choice(engines), self.chance.uniform(0, 5))
        elif kind == "pause" and engines:
            self.chance.choice(engines).pause(self.chance.uniform(0, 10))
        elif kind == "scheduler" and schedulers:
            self.chance.choice(schedulers).end(release=self.chance.random() < 0.5)
        elif kind == "freeze" and schedulers:
            frozen = self.chance.choice(schedulers)
            frozen.frozen_until = self.now + self.chance.uniform(0, 10)
        elif kind == "cancel":
            self.database.request_cancel(self.chance.choice(list(self.database.operations)))
        self._plan_accident()


def simulate(seed: int, faults: Faults | None = None) -> int:
    """Run a seed; gives the number of events.

    Raises ``BrokenPromiseError``.
    """
    world = World(seed, faults or Faults())
    world.run()
    return world.events


def main() -> int:
    """Run many seeds; the failing ones are printed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="where to begin")
    given = parser.parse_args()
    begin, count, failed = time.monotonic(), 0, 0
    for seed in range(given.first, given.first + given.seeds):
        try:
            count += simulate(seed)
        except AssertionError as error:
            failed += 1
            sys.stdout.write(f"seed {seed}: {error!r}\n")
    seconds = time.monotonic() - begin
    sys.stdout.write(f"{given.seeds} seeds, {failed} failed, {count / seconds:.0f} events/s\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
