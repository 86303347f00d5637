"""Changes to record, written shortly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_scheduler.core.graph import TaskNode

Task = operation_pb2.Task
Attempt = operation_pb2.Attempt


def _name(inner: execution.Assign | execution.Finish, node: TaskNode) -> None:
    """Say which attempt is meant; field by field, where it lies: to make messages and copy them
    costs twice as much, and each task has two of these."""
    inner.task_id, inner.epoch, inner.session_id = node.id, node.epoch, node.session_id


def assign(node: TaskNode) -> execution.Change:
    """Hand a task out."""
    change = execution.Change()
    _name(change.assign, node)
    return change


def finish(
    node: TaskNode,
    state: Task.State.ValueType,
    outcome: Attempt.Outcome.ValueType,
    *,
    failure: operation_pb2.Failure | None = None,
    facts: bytes = b"",
) -> execution.Change:
    """End a task."""
    change = execution.Change()
    inner = change.finish
    _name(inner, node)
    inner.state, inner.outcome, inner.facts = state, outcome, facts
    if failure is not None:
        inner.failure.CopyFrom(failure)
    return change


def defer(
    node: TaskNode,
    outcome: Attempt.Outcome.ValueType,
    *,
    delay: float = 0.0,
    failure: operation_pb2.Failure | None = None,
    facts: bytes = b"",
) -> execution.Change:
    """Put a task back."""
    inner = execution.Defer(
        task_id=node.id,
        epoch=node.epoch,
        session_id=node.session_id,
        outcome=outcome,
        failure=failure,
        facts=facts,
        only_if_session_ended=outcome == Attempt.OUTCOME_LOST,
    )
    inner.delay.FromMicroseconds(int(delay * 1_000_000))
    return execution.Change(defer=inner)


def skip(node: TaskNode, failure: operation_pb2.Failure | None = None) -> execution.Change:
    """Give up a task that was not handed out; with a failure if it can not be done."""
    return execution.Change(skip=execution.Skip(task_id=node.id, failure=failure))


def spawn(operation_id: str, specs: Iterable[operation_pb2.TaskSpec]) -> execution.Change:
    """Store tasks."""
    return execution.Change(spawn=execution.Spawn(operation_id=operation_id, tasks=specs))


def end_operation(
    operation_id: str,
    state: operation_pb2.Operation.State.ValueType,
    failure: operation_pb2.Failure | None,
) -> execution.Change:
    """End an operation."""
    return execution.Change(
        end_operation=execution.EndOperation(
            operation_id=operation_id, state=state, failure=failure
        )
    )


def acknowledge_cancel(operation_id: str) -> execution.Change:
    """Note that a cancel was acted on."""
    return execution.Change(
        acknowledge_cancel=execution.AcknowledgeCancel(operation_id=operation_id)
    )
