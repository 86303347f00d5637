"""What must hold inside a core after every event, whatever happened."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from savanna_scheduler.core.graph import Phase

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import OperationGraph, TaskNode
    from savanna_scheduler.core.scheduler import SchedulerCore

_OUT = (Phase.ASSIGNING, Phase.ASSIGNED)


def check(core: SchedulerCore) -> None:
    """Compare the core's counters with what they count, and look for forgotten tasks."""
    _check_scarce(core)
    for graph in core.operations.values():
        tasks = list(graph.tasks.values())
        assert graph.open_tasks == sum(each.phase is not Phase.ENDED for each in tasks)
        assert graph.assigned == sum(each.phase in _OUT for each in tasks)
        plans = [each for each in tasks if each.spec.is_plan and each.phase in _OUT]
        assert len(plans) <= 1, "two plans at once"
        for node in tasks:
            _check_task(core, node)
        assert _goes_on(core, graph), f"operation {graph.id} waits for nothing"


def _check_scarce(core: SchedulerCore) -> None:
    """Compare what is taken of what is scarce with the tasks that are out."""
    taken = Counter(
        key for node in core.tasks.values() if node.phase in _OUT for key in node.limits
    )
    assert taken == Counter(core.hand_out.scarce.taken)


def _check_task(core: SchedulerCore, node: TaskNode) -> None:
    if node.phase not in _OUT:
        return
    session = core.sessions.get(node.session_id)
    if session is None or node.id not in session.holds:
        # It is being taken back.
        recording = node.phase is Phase.ASSIGNING or node.attempt in core.results.recording
        assert recording, f"{node.spec.key} takes no slot"
        return
    assert session.watched, f"nobody looks after {session.id}"
    assert session.used[node.spec.pool] == sum(
        pool == node.spec.pool for pool in session.holds.values()
    )


def _goes_on(core: SchedulerCore, graph: OperationGraph) -> bool:
    """Say whether something will happen: a result, a verdict, a timer or an engine with room."""
    due = core.next_timer()
    if graph.rests_until > core.now:
        return due is not None and due <= graph.rests_until
    if graph.is_spawning and due is not None and due <= core.now:
        # A large plan is being looked at, and others had their turn.
        return True
    if graph.is_over or graph.plan_asked or graph.assigned or graph.plan_spec is None:
        return True
    ready = any(
        each.phase is Phase.READY or each.not_before > core.now for each in graph.tasks.values()
    )
    recording = any(each.attempt in core.results.recording for each in graph.tasks.values())
    return ready or recording or core.is_recording
