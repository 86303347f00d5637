"""Which engines lose their work again and again: they are drained."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_scheduler.core.graph import TaskNode
    from savanna_scheduler.core.scheduler import SchedulerCore
    from savanna_scheduler.core.sessions import Session


@dataclass(frozen=True, slots=True)
class Accident:
    """A session that ended while it held tasks, however many."""

    when: float
    tasks: frozenset[str]


class Trust:
    """Remembers the accidents of engines, by name, and judges by them.

    An engine that had several with different tasks in a short time is drained: it gets nothing
    more while others can do the work. It is trusted again when they are long ago, or when it ends
    in order.
    """

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self._accidents: dict[str, list[Accident]] = defaultdict(list)
        self._told: dict[str, tuple[str, float]] = {}
        """By engine that is drained: why, and until when."""

    def drained(self, now: float) -> list[execution.DrainedEngine]:
        """List the engines that are drained."""
        engines = {each.engine for each in self._core.sessions.drained.values()}
        found = []
        for engine in sorted(engines & self._told.keys()):
            reason, until = self._told[engine]
            each = execution.DrainedEngine(engine_id=engine, reason=reason)
            each.rest.FromMilliseconds(int(1000 * max(0.0, until - now)))
            found.append(each)
        return found

    def lost(self, engine: str, nodes: Sequence[TaskNode]) -> None:
        """Note an accident, unless it is the fault of a task that is quarantined for it."""
        core = self._core
        if engine and not any(core.results.is_last_loss(node) for node in nodes):
            tasks = frozenset(node.id for node in nodes)
            self._accidents[engine].append(Accident(core.now, tasks))
            core.timers.at(core.now + core.policy.distrust_window, self.judge)
            self.judge()

    def acquit(self, task_id: str) -> None:
        """Blame nobody any more for accidents with a task that was quarantined."""
        for engine, accidents in self._accidents.items():
            self._accidents[engine] = [each for each in accidents if task_id not in each.tasks]
        self.judge()

    def forgive(self, engine: str) -> None:
        """Forget the accidents of an engine."""
        self._told.pop(engine, None)
        if self._accidents.pop(engine, None):
            self.judge()

    def judge(self) -> None:
        """See who is to be drained, now that something has changed."""
        sessions = self._core.sessions
        if not self._accidents and not sessions.drained:
            return
        self._forget_old()
        connected = {each.engine for each in sessions if each.connected}
        guilty = {each for each in self._accidents if self._blame(each)} & connected
        if 2 * len(guilty) > len(connected):
            # So many at once: a database or network that was away, or there is no other engine.
            guilty = set()
        for session in sessions:
            if session.engine not in guilty:
                sessions.drained.pop(session.id, None)
            elif session.id not in sessions.drained:
                sessions.drained[session.id] = session
                self._tell(session)

    def _forget_old(self) -> None:
        oldest = self._core.now - self._core.policy.distrust_window
        for engine, accidents in list(self._accidents.items()):
            kept = [each for each in accidents if each.when > oldest]
            if kept:
                self._accidents[engine] = kept
            else:
                del self._accidents[engine]
                self._told.pop(engine, None)

    def _blame(self, engine: str) -> list[Accident]:
        """Give the accidents for which an engine is blamed: the newest, each with another task;
        nothing when they are too few."""
        different: list[Accident] = []
        seen: set[str] = set()
        for accident in sorted(self._accidents[engine], key=lambda each: len(each.tasks)):
            if other := accident.tasks - seen:
                seen.add(min(other))
                different.append(accident)
        most = self._core.policy.distrust_accidents
        return sorted(different, key=lambda each: each.when)[-most:] if len(seen) >= most else []

    def _tell(self, session: Session) -> None:
        core = self._core
        blame = self._blame(session.engine)
        window = core.policy.distrust_window
        rest = blame[0].when + window - core.now
        titles = sorted(
            {core.tasks[id].label for each in blame for id in each.tasks & core.tasks.keys()}
        )
        why = (
            f"{len(blame)} times in {window:.0f} s it was lost with work in its hands "
            f"({', '.join(titles[:3])}); look at its log and its machine, then restart it in order "
            "(SIGTERM), which clears its record"
        )
        self._told[session.engine] = why, core.now + rest
        told = stream.Distrust(
            reason=f"engine '{session.engine}' is drained for {rest:.0f} s: {why}"
        )
        told.duration.FromMilliseconds(int(rest * 1000))
        core.outbox.distrust(session.id, told)
