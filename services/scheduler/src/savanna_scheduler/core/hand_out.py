"""Handing out: which task goes to which engine. Nothing is said before it is recorded."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_scheduler.core import changes, failures
from savanna_scheduler.core.graph import Phase, TaskNode
from savanna_scheduler.core.ready import ReadyTasks
from savanna_scheduler.core.scarce import Scarce

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_scheduler.core.scheduler import SchedulerCore
    from savanna_scheduler.core.sessions import Session

Verdict = execution.Verdict


class HandOut:
    """Gives ready tasks to engines that have room, within the limits of what is scarce."""

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self._ready: dict[str, ReadyTasks] = defaultdict(ReadyTasks)
        self.scarce = Scarce()

    def add(self, node: TaskNode) -> None:
        """Take a task that is ready."""
        self._ready[node.spec.pool].push(node)

    def waiting(self) -> Iterator[TaskNode]:
        """Give the tasks that lack nothing but an engine or what is scarce, in no order."""
        for ready in self._ready.values():
            yield from ready
        yield from self.scarce.waiting()

    def go_on(self) -> None:
        """Hand out all that can be handed out now."""
        for waited in self.scarce.free():
            self.add(waited)
        for pool, ready in self._ready.items():
            while ready and (session := self._core.sessions.freest(pool)) is not None:
                node = ready.pop()
                if node is None:
                    break
                self._consider(node, session)

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
            self._wait_for_able(node)
        else:
            node.unknown_since = None
            self._hand_out(node, able)

    def _wait_for_able(self, node: TaskNode) -> None:
        """Look again soon whether an engine knows how to do a task, and has room; give it up when
        none knew for long."""
        core, spec = self._core, node.spec
        if any(each.serves(spec.pool, spec.kind) for each in core.sessions):
            node.unknown_since = None
        elif node.unknown_since is None:
            node.unknown_since = core.now
        elif core.now - node.unknown_since >= core.policy.unknown_kind_patience:
            failure = failures.unknown_kind(node, core.policy.unknown_kind_patience)
            core.results.give_up(node, failure)
            return
        node.not_before = core.now + core.policy.unknown_kind_wait
        core.make_ready(node)

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

        core.decide(changes.assign(node), recorded)

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
