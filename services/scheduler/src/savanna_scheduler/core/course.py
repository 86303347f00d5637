"""The course of an operation: tasks join it, it is planned again, given up in part, cancelled, and
ended.

It ends only when nothing of it runs any more: whoever waits for its end may rely on that.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna_scheduler.core import changes
from savanna_scheduler.core.failures import endless, stuck
from savanna_scheduler.core.graph import Ending, OperationGraph, Phase, TaskNode
from savanna_scheduler.core.parts import in_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from savanna.conductor.v1 import execution_service_pb2 as execution
    from savanna_scheduler.core.scheduler import SchedulerCore

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation
Task = operation_pb2.Task


class Course:
    """Leads operations from their first plan to their end."""

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self._looks: deque[Callable[[], None]] = deque()
        """Large plans that are being looked at, each to go on with."""

    # Onwards.

    def spawn(
        self, graph: OperationGraph, specs: Sequence[operation_pb2.TaskSpec], size: int
    ) -> None:
        """Store tasks of so many bytes, and hand them out once they are stored.

        Many are stored a part after the other, those that others need first: what other operations
        decide meanwhile goes in between. Should this scheduler end before the last part, whoever
        takes over plans again and is told the rest.
        """
        policy = self._core.policy
        if self._is_too_much(graph, tasks=len(specs), size=size):
            self.end(graph, Operation.STATE_FAILED, endless(graph, policy))
            return
        parts = in_parts(
            specs,
            most=lambda: policy.shared_spawn_part if self._core.is_shared() else policy.spawn_part,
            most_bytes=policy.commit_bytes,
            at_once=policy.looked_at,
        )
        towards_goal = not graph.operation.cancel_requested
        graph.is_spawning = True

        def store_next(joined: int | None = None) -> None:
            wished_away = towards_goal and graph.operation.cancel_requested
            is_wanted = not wished_away and graph.ending is None
            part = next(parts, None) if is_wanted else None
            if part:
                self._core.decide(graph, changes.spawn(graph.id, part), stored)
            elif part is not None:
                self._look_later(store_next)
            elif not graph.is_over:
                graph.is_spawning = False
                if not joined or graph.open_tasks == 0:
                    self.look_for_more(graph)
                self.go_on(graph)

        def stored(verdict: execution.Verdict) -> None:
            self._core.must_apply(verdict)
            store_next(len(self._join(graph, verdict.spawned, towards_goal=towards_goal)))

        store_next()

    def _look_later(self, look: Callable[[], None]) -> None:
        """Have the rest of a large plan looked at when everything else has had its turn, other
        large plans too."""
        self._looks.append(look)
        if len(self._looks) == 1:
            self._core.timers.at(self._core.now, self._look)

    def _look(self) -> None:
        look = self._looks.popleft()
        if self._looks:
            self._core.timers.at(self._core.now, self._look)
        look()

    def _is_too_much(
        self, graph: OperationGraph, *, tasks: int, size: int = 0, plans: int = 0
    ) -> bool:
        """Say whether an operation would become larger than any may be, with so much more."""
        policy = self._core.policy
        share = max(
            (len(graph.tasks) + tasks) / policy.most_tasks,
            (graph.size + size) / policy.most_bytes,
            (graph.plans + plans) / policy.most_plans,
        )
        return share > (policy.way_back if graph.operation.cancel_requested else 1.0)

    def _join(
        self, graph: OperationGraph, tasks: Iterable[Task], *, towards_goal: bool
    ) -> list[TaskNode]:
        """Take stored tasks in; give those up that can never run or are not wanted any more."""
        nodes = [graph.add(task) for task in tasks]
        for node in nodes:
            self._core.tasks[node.id] = node
        hopeless = graph.link(nodes)
        if towards_goal and graph.operation.cancel_requested:
            # The wish to end it came meanwhile.
            hopeless = [node for node in nodes if not node.spec.is_plan]
        for node in hopeless:
            self.skip(node)
        for node in nodes:
            self._core.make_ready(node)
        return nodes

    def plan_again(self, graph: OperationGraph) -> None:
        """Store the next plan, unless one waits already or is being stored."""
        spec = graph.next_plan()
        if spec is None or graph.ending is not None:
            return
        if self._is_too_much(graph, tasks=1, plans=1):
            self.end(graph, Operation.STATE_FAILED, endless(graph, self._core.policy))
            return
        graph.plan_asked = True

        def stored(verdict: execution.Verdict) -> None:
            self._core.must_apply(verdict)
            graph.plan_asked = False
            for task in verdict.spawned:
                node = graph.add(task)
                self._core.tasks[node.id] = node
                self._core.make_ready(node)

        self._core.decide(graph, changes.spawn(graph.id, [spec]), stored)

    def plan_later(self, graph: OperationGraph, delay: float) -> None:
        """Plan again after a delay in seconds; the newest wish counts.

        It is not stored: whoever takes over plans at once.
        """
        due = graph.replan_at = self._core.now + delay

        def plan() -> None:
            if graph.replan_at == due and not graph.is_over:
                graph.replan_at = None
                self.plan_again(graph)

        self._core.timers.at(due, plan)

    def look_for_more(self, graph: OperationGraph) -> None:
        """Plan again when nothing is left; but a plan that knew of everything and found neither a
        step nor an end would find the same again."""
        busy = graph.open_tasks or graph.plan_asked or graph.is_spawning
        if busy or graph.ending is not None:
            return
        if graph.has_news:
            self.plan_again(graph)
        else:
            self.end(graph, Operation.STATE_FAILED, stuck(graph))

    def go_on(self, graph: OperationGraph) -> None:
        """See what follows when an engine has one task less: the end, or a plan that waited for
        that."""
        self._settle(graph)
        for plan in graph.pending_plans():
            self._core.make_ready(plan)

    def ended_in_vain(self, node: TaskNode) -> None:
        """Follow up the end of a task without success: what needed it can never run, and the plan
        must know."""
        graph = node.graph
        self._doom(node)
        graph.end(node, succeeded=False)
        self.plan_again(graph)
        self.go_on(graph)

    # Giving up.

    def skip(self, node: TaskNode) -> None:
        """Give up a task that no engine has, and all that needs it."""
        if node.is_idle and not node.graph.is_over:
            self._core.decide(node.graph, changes.skip(node), self._core.must_apply)
            self.ended_in_vain(node)

    def give_up(self, graph: OperationGraph, key: str) -> None:
        """Give up a task that a plan does not want any more; that plan knows, no other is due."""
        node = graph.tasks.get(key)
        if node is None or not node.is_open:
            return
        if node.is_out:
            self._unwant(node)
            return
        self._doom(node)
        self._core.decide(node.graph, changes.skip(node), self._core.must_apply)
        graph.end(node, succeeded=False)

    def cancel(self, graph: OperationGraph) -> None:
        """Act on the wish to end an operation: skip what waits, stop what runs, plan towards the
        end.

        That is acknowledged when that plan is handed out; whoever takes over before does all this
        again.
        """
        if graph.ending is not None:
            return
        for node in list(graph.tasks.values()):
            if node.is_idle:
                self._core.decide(node.graph, changes.skip(node), self._core.must_apply)
                graph.end(node, succeeded=False)
            elif node.is_out:
                self._unwant(node)
        self.plan_again(graph)

    def acknowledge_cancel(self, graph: OperationGraph) -> None:
        """Record, before the plan towards the end is handed out, that everything open is wanted
        from now on."""
        if graph.operation.cancel_requested and not graph.operation.cancel_acknowledged:
            graph.operation.cancel_acknowledged = True
            self._core.decide(graph, changes.acknowledge_cancel(graph.id), self._core.must_apply)

    def _doom(self, node: TaskNode) -> None:
        for doomed in node.graph.doomed(node):
            self._core.decide(doomed.graph, changes.skip(doomed), self._core.must_apply)
            node.graph.end(doomed, succeeded=False)

    def _unwant(self, node: TaskNode) -> None:
        """Have an attempt stopped; one whose hand-out is still being recorded never begins."""
        if not node.unwanted:
            node.unwanted = True
            if node.phase is Phase.ASSIGNED:
                self._core.outbox.stop(node.session_id, *node.attempt)

    # The end.

    def end(
        self,
        graph: OperationGraph,
        state: Operation.State.ValueType,
        failure: operation_pb2.Failure | None,
    ) -> None:
        """End an operation as soon as nothing of it runs any more."""
        self._begin_end(graph, Ending(state, failure))

    def conclude(self, graph: OperationGraph, ending: Ending) -> None:
        """End an operation as its plan says; the plan's own result is recorded together with the
        end, and until then it counts as running."""
        self._begin_end(graph, ending)

    def fail_at_once(self, graph: OperationGraph, failure: operation_pb2.Failure) -> None:
        """Fail an operation whatever end it had in mind, as soon as nothing of it runs any more."""
        graph.ending, graph.is_over = None, False
        self._begin_end(graph, Ending(Operation.STATE_FAILED, failure))

    def resume(self, graph: OperationGraph) -> None:
        """Take back an end that was not recorded: the plan that said so was lost with its
        engine."""
        graph.ending = None
        if graph.operation.cancel_requested and not graph.operation.cancel_acknowledged:
            self.cancel(graph)
        for node in list(graph.tasks.values()):
            self._core.make_ready(node)

    def _begin_end(self, graph: OperationGraph, ending: Ending) -> None:
        if graph.ending is not None:
            return
        graph.ending = ending
        for node in list(graph.tasks.values()):
            if node.is_out and node is not ending.plan:
                self._unwant(node)
        self._settle(graph)

    def _settle(self, graph: OperationGraph) -> None:
        """Record the end when its time has come."""
        ending = graph.ending
        if ending is None or graph.is_over or self._core.now < graph.rests_until:
            return
        if ending.plan is None:
            if graph.assigned == 0:
                self._record_end(graph, ending)
        elif graph.assigned == 1 and ending.plan.attempt not in self._core.results.recording:
            graph.is_over = True
            self._core.results.record_conclusion(ending)
            # In one transaction with the plan's facts: they say what becomes of the cluster.
            self._record_end(graph, ending, joined=True)

    def _record_end(self, graph: OperationGraph, ending: Ending, *, joined: bool = False) -> None:
        graph.is_over = True

        def ended(verdict: execution.Verdict) -> None:
            self._core.must_apply(verdict)
            self._core.forget(graph)

        change = changes.end_operation(graph.id, ending.state, ending.failure)
        self._core.decide(graph, change, ended, joined=joined)
