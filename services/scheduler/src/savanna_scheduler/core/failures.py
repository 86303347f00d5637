"""What the scheduler itself tells users of failures: what went wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Failure, Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_scheduler.core.graph import OperationGraph, TaskNode
    from savanna_scheduler.core.policy import Policy


def stuck(graph: OperationGraph) -> Failure:
    """Tell of a plan that leads nowhere."""
    return Failure(
        reason="PLAN_STUCK",
        message=(
            f"plan {graph.plans} of the operation found neither a step nor an end; "
            "this is a fault of the planner or the plugin: report it with the operation's id. "
            f"{_way_back(graph)}"
        ),
    )


def endless(graph: OperationGraph, policy: Policy) -> Failure:
    """Tell of an operation that would never end, or not fit into any message."""
    return Failure(
        reason="TOO_MANY_STEPS",
        message=(
            f"after {graph.plans} plans and {len(graph.tasks)} steps it is not done, and no more "
            f"than {policy.most_tasks} steps of {policy.most_bytes >> 20} MiB, or "
            f"{policy.most_plans} plans, are carried out; this is a fault of the planner or the "
            f"plugin: report it with the operation's id. {_way_back(graph)}"
        ),
    )


def unplanned(graph: OperationGraph, cause: Failure) -> Failure:
    """Tell of an operation that can not be planned: nobody leads it back."""
    failure = Failure()
    failure.CopyFrom(cause)
    failure.message = f"{cause.message}. {_way_back(graph)}"
    return failure


def unknown_kind(node: TaskNode, seconds: float) -> Failure:
    """Tell of a task that no engine knows how to do."""
    return _about(
        node,
        "UNKNOWN_KIND",
        f"'{node.label}' was given up: for {seconds:.0f} s no engine knows steps of the kind "
        f"'{node.spec.kind}'; run the same version of Savanna everywhere, then try again",
    )


def unknown_pool(node: TaskNode, seconds: float) -> Failure:
    """Tell of a task whose pool no engine offers."""
    return _about(
        node,
        "UNKNOWN_POOL",
        f"'{node.label}' was given up: for {seconds:.0f} s no engine offers the pool "
        f"'{node.spec.pool}'; run the same version of Savanna everywhere, then try again",
    )


def quarantined(node: TaskNode, lost: int) -> Failure:
    """Tell of a task that may be what kills engines."""
    return _about(
        node,
        "QUARANTINED",
        f"'{node.label}' was given up: {lost} engines were lost while they did it; "
        "look at the engines' logs before you try again",
    )


def interrupted(node: TaskNode) -> Failure:
    """Tell of a task that may be what kills all of Savanna."""
    return _about(
        node,
        "QUARANTINED",
        f"'{node.label}' was given up: Savanna itself died {node.interruptions} times while it was "
        "done; look at its log, and at the memory of its machine, before you try again",
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


def unstored(graph: OperationGraph, nodes: Sequence[TaskNode], error: str) -> Failure:
    """Tell of decisions that the conductor can not store."""
    about = ", ".join(f"'{node.label}'" for node in nodes[:3]) or "the operation"
    return Failure(
        reason="NOT_STORED",
        message=(
            f"what became of {about} could not be stored: {error}. This is a fault of Savanna, or "
            "of what a step has told; report it with that line of the conductor's log. "
            f"{_way_back(graph)}"
        ),
        instance=nodes[0].spec.instance if len(nodes) == 1 else "",
        task_key=nodes[0].spec.key if len(nodes) == 1 else "",
    )


def _way_back(graph: OperationGraph) -> str:
    """Say what a user can do when an operation ended without leading back."""
    operation = graph.operation
    retry = f"'savanna operation retry {graph.id}'"
    if operation.goal == Operation.GOAL_RUN_JOB:
        return "Run the job again when that is mended"
    if operation.goal == Operation.GOAL_DELETE or operation.rollback_of:
        return f"{retry} removes what is left"
    return (
        f"What it made is still there: 'savanna operation rollback {graph.id}' takes it back, "
        f"{retry} goes on with it"
    )


def _about(node: TaskNode, reason: str, message: str) -> Failure:
    return Failure(
        reason=reason, message=message, instance=node.spec.instance, task_key=node.spec.key
    )
