"""Handing out: which task goes to which engine. Nothing is said before it is recorded."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_scheduler.core import changes, failures
from savanna_scheduler.core.graph import Phase, TaskNode
from savanna_scheduler.core.ready import ReadyTasks
from savanna_scheduler.core.scarce import Scarce
from savanna_scheduler.core.unserved import Unserved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from savanna.operation.v1.operation_pb2 import Failure
    from savanna_scheduler.core.scheduler import SchedulerCore
    from savanna_scheduler.core.sessions import Session

Verdict = execution.Verdict


class HandOut:
    """Gives ready tasks to engines that have room, within the limits of what is scarce."""

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self._ready: dict[str, ReadyTasks] = defaultdict(ReadyTasks)
        self._strange: dict[tuple[str, str], ReadyTasks] = {}
        """By pool and kind, what no engine with room knew how to do."""

        self.scarce = Scarce()
        self._unserved = Unserved(core)

    def add(self, node: TaskNode) -> None:
        """Take a task that is ready."""
        self._ready[node.spec.pool].push(node)

    def waiting(self) -> Iterator[TaskNode]:
        """Give the tasks that lack nothing but an engine or what is scarce, in no order."""
        for ready in self._ready.values():
            yield from ready
        for strange in self._strange.values():
            yield from strange
        yield from self.scarce.waiting()

    def go_on(self) -> None:
        """Hand out all that can be handed out now."""
        for waited in self.scarce.free():
            self.add(waited)
        for (pool, kind), strange in list(self._strange.items()):
            self._find_able(pool, kind, strange)
        for pool, ready in list(self._ready.items()):
            while ready and (session := self._core.sessions.freest(pool)) is not None:
                node = ready.pop()
                if node is None:
                    break
                self._consider(node, session)
            if ready and self._unserved.is_for_long(pool):
                self._give_up(ready, failures.unknown_pool)

    def offer(self, node: TaskNode, session: Session) -> None:
        """Say what to do; and if it is not wanted any more, that it is to be stopped."""
        self._core.outbox.run(session.id, node)
        if node.unwanted:
            self._core.outbox.stop(session.id, *node.attempt)

    def _consider(self, node: TaskNode, session: Session) -> None:
        """Hand a task out, to the session with most room if it knows how; else let it wait."""
        if not node.graph.may_run(node):
            node.phase = Phase.WAITING
            return
        if node.limits and (key := self.scarce.lacks(node)):
            self.scarce.wait(node, key)
            return
        spec = node.spec
        able: Session | None = session
        if session.unknown_kinds:
            able = self._core.sessions.freest(spec.pool, spec.kind)
        if able is None:
            self._strange.setdefault((spec.pool, spec.kind), ReadyTasks()).push(node)
        else:
            self._hand_out(node, able)

    def _find_able(self, pool: str, kind: str, strange: ReadyTasks) -> None:
        """Let those have their turn that engines with room know how to do; give them up when none
        knew for long."""
        sessions = self._core.sessions
        if strange and sessions.freest(pool, kind) is not None:
            able = (each for each in sessions if each.serves(pool, kind))
            for _ in range(sum(max(0, each.free(pool)) for each in able)):
                if (node := strange.pop()) is None:
                    break
                self.add(node)
        elif strange and self._unserved.is_for_long(pool, kind):
            self._give_up(strange, failures.unknown_kind)
        if not strange:
            del self._strange[pool, kind]

    def _give_up(self, unserved: ReadyTasks, why: Callable[[TaskNode, float], Failure]) -> None:
        """Give up what no engine will do."""
        while (node := unserved.pop()) is not None:
            if node.graph.may_run(node):
                failure = why(node, self._core.policy.unserved_patience)
                self._core.results.give_up(node, failure)
            else:
                node.phase = Phase.WAITING

    def _hand_out(self, node: TaskNode, session: Session) -> None:
        core = self._core
        if node.spec.is_plan:
            core.course.acknowledge_cancel(node.graph)
            node.graph.has_news = False
        node.phase = Phase.ASSIGNING
        node.epoch += 1
        node.session_id = session.id
        node.graph.assigned += 1
        session.take(node.id, node.spec.pool)
        self.scarce.take(node)

        def recorded(verdict: Verdict) -> None:
            if verdict.code == Verdict.CODE_SESSION_ENDED:
                self._not_handed_out(node, session)
                return
            core.must_apply(verdict)
            node.phase = Phase.ASSIGNED
            if node.unwanted:
                # Its engine never heard of it.
                core.results.stopped(node)
            elif core.sessions.get(session.id) is not session:
                core.results.lose(node)
            else:
                self.offer(node, session)

        core.decide(node.graph, changes.assign(node), recorded)

    def _not_handed_out(self, node: TaskNode, session: Session) -> None:
        session.give_back(node.id)
        self.scarce.give_back(node)
        node.epoch -= 1
        node.graph.put_back(node)
        self._core.session_over(session.id)
        if node.unwanted:
            self._core.course.skip(node)
        else:
            self._core.make_ready(node)
        self._core.course.go_on(node.graph)
