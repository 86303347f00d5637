"""Commits that the conductor can not store: the operation at fault is found, and fails alone.

A commit holds decisions about many operations. One that was refused is cut in halves, operation by
operation, until one is refused by itself, twice. All others go on.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from savanna_scheduler.core import failures
from savanna_scheduler.core.graph import OperationGraph, Phase, TaskNode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_scheduler.core.ledger import Decision, Ledger
    from savanna_scheduler.core.scheduler import SchedulerCore

_OF_TASKS = ("assign", "finish", "defer", "skip")


class Faults:
    """Follows up refused commits."""

    def __init__(self, core: SchedulerCore, ledger: Ledger) -> None:
        self._core = core
        self._ledger = ledger
        self._tried: Decision | None = None
        """The first of those that were refused by themselves, and are sent once more."""

    def refused(self, number: int, error: str) -> None:
        """Take a commit apart, or fail the one operation that it was about."""
        parts: dict[str, list[Decision]] = {}
        for each in self._ledger.take_back(number):
            parts.setdefault(self._operation_of(each), []).append(each)
        if not parts:
            return
        if len(parts) > 1:
            halves = list(parts.values())
            middle = len(halves) // 2
            self._ledger.in_parts(list(chain(*halves[:middle])), list(chain(*halves[middle:])))
            return
        operation_id, decisions = parts.popitem()
        if self._tried is decisions[0]:
            self._tried = None
            self._fail(self._core.operations[operation_id], decisions, error)
        else:
            self._tried = decisions[0]
            self._ledger.in_parts(decisions)

    def _operation_of(self, decision: Decision) -> str:
        change = decision.change
        kind = change.WhichOneof("change") or ""
        inner = getattr(change, kind)
        return self._core.tasks[inner.task_id].graph.id if kind in _OF_TASKS else inner.operation_id

    def _fail(self, graph: OperationGraph, refused: Sequence[Decision], error: str) -> None:
        """Forget what was decided about an operation since it was last stored, and end it."""
        core = self._core
        later = self._ledger.drop(lambda each: self._operation_of(each) == graph.id)
        graph.faults += 1
        graph.is_spawning = graph.plan_asked = False
        graph.replan_at = None
        failure = failures.unstored(graph, self._ended(refused), error)
        pause = self._pause(graph)
        for decision in (*refused, *later):
            kind = decision.change.WhichOneof("change") or ""
            if kind == "end_operation" and len(refused) == 1:
                # Its end by itself: there is nothing less to be said of it.
                graph.rests_until = core.now + pause
            elif kind in _OF_TASKS:
                self._undo(core.tasks[getattr(decision.change, kind).task_id], kind, pause)
        core.course.fail_at_once(graph, failure)
        if graph.rests_until > core.now:
            core.timers.at(graph.rests_until, lambda: core.course.go_on(graph))

    def _ended(self, decisions: Sequence[Decision]) -> list[TaskNode]:
        """Give the tasks of which decisions tell what came of them."""
        changes = [each.change for each in decisions]
        told = [each.finish.task_id or each.defer.task_id for each in changes]
        return [self._core.tasks[each] for each in told if each]

    def _pause(self, graph: OperationGraph) -> float:
        policy = self._core.policy
        return min(policy.fault_rest * 2.0 ** min(graph.faults - 1, 32), policy.longest_rest)

    def _undo(self, node: TaskNode, kind: str, pause: float) -> None:
        """Have memory say of a task what is stored, as far as the end of its operation needs it."""
        core, graph = self._core, node.graph
        if node.phase is Phase.ASSIGNING:
            # Its engine never heard of it.
            core.release(node)
            node.epoch -= 1
            graph.put_back(node)
        elif node.phase is Phase.ASSIGNED:
            # Whether its engine is lost could not be noted: it is asked again later.
            core.results.recording.discard(node.attempt)
            core.still_held(node, pause)
        elif kind in ("finish", "defer"):
            # Its engine has ended it, and hears that it is known when the operation has ended.
            graph.refused.append(node)
