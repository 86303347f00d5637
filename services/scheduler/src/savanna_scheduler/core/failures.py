"""What the scheduler itself tells users of failures: what went wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Failure

if TYPE_CHECKING:
    from savanna_scheduler.core.graph import OperationGraph, TaskNode


def stuck(graph: OperationGraph) -> Failure:
    """Tell of a plan that leads nowhere."""
    return Failure(
        reason="PLAN_STUCK",
        message=(
            f"plan {graph.plans} of the operation found neither a step nor an end; "
            "this is a fault of the planner or the plugin: report it with the operation's id"
        ),
    )


def quarantined(node: TaskNode, lost: int) -> Failure:
    """Tell of a task that may be what kills engines."""
    return _about(
        node,
        "QUARANTINED",
        f"'{node.label}' was given up: {lost} engines were lost while they did it; "
        "look at the engines' logs before you try again",
    )


def timed_out(node: TaskNode, seconds: float) -> Failure:
    """Tell of a task whose patience is over."""
    return _about(
        node,
        "TIMED_OUT",
        f"'{node.label}' was not done after {seconds:.0f} s of waiting: "
        "look at the last output of the host, then try again",
    )


def facts_refused(node: TaskNode) -> Failure:
    """Tell of facts that the conductor can not take: trying again would not help."""
    return _about(
        node,
        "FACTS_REFUSED",
        f"what '{node.label}' told of the cluster was refused; this is a fault of the engine or "
        "the plugin: report it with the operation's id",
    )


def _about(node: TaskNode, reason: str, message: str) -> Failure:
    return Failure(
        reason=reason, message=message, instance=node.spec.instance, task_key=node.spec.key
    )
