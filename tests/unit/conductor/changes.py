"""Changes as a scheduler writes them, and the way to a claimed operation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from tests.unit.conductor.conftest import Conductor, Owner, new_owner

if TYPE_CHECKING:
    from savanna.cluster.v1 import cluster_pb2

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation
Task = operation_pb2.Task
Verdict = execution.Verdict


def assign(task: Task, epoch: int, session: str) -> execution.Change:
    inner = execution.Assign(task_id=task.id, epoch=epoch, session_id=session)
    return execution.Change(assign=inner)


def finish(
    task: Task, epoch: int, session: str, facts: cluster_pb2.Facts | None = None
) -> execution.Change:
    inner = execution.Finish(
        task_id=task.id,
        epoch=epoch,
        session_id=session,
        state=Task.STATE_SUCCEEDED,
        outcome=Attempt.OUTCOME_SUCCEEDED,
        facts=facts.SerializeToString() if facts else b"",
    )
    return execution.Change(finish=inner)


def lose(task: Task, epoch: int, session: str) -> execution.Change:
    inner = execution.Defer(
        task_id=task.id,
        epoch=epoch,
        session_id=session,
        outcome=Attempt.OUTCOME_LOST,
        only_if_session_ended=True,
    )
    return execution.Change(defer=inner)


def quarantine(task: Task, epoch: int, session: str) -> execution.Change:
    """Give a task up because it costs engines."""
    inner = execution.Finish(
        task_id=task.id,
        epoch=epoch,
        session_id=session,
        state=Task.STATE_FAILED,
        outcome=Attempt.OUTCOME_LOST,
    )
    return execution.Change(finish=inner)


def end(operation_id: str, state: Operation.State.ValueType) -> execution.Change:
    inner = execution.EndOperation(operation_id=operation_id, state=state)
    return execution.Change(end_operation=inner)


def codes(verdicts: list[Verdict]) -> list[Verdict.Code.ValueType]:
    return [each.code for each in verdicts]


async def claimed(conductor: Conductor) -> tuple[Owner, execution.Graph, str]:
    await conductor.create()
    owner = await new_owner(conductor)
    answer = await owner.claim()
    return owner, answer.graphs[0], await conductor.session()


def defer(
    task: Task,
    epoch: int,
    session: str,
    outcome: Attempt.Outcome.ValueType = Attempt.OUTCOME_NOT_YET,
    facts: cluster_pb2.Facts | None = None,
) -> execution.Change:
    inner = execution.Defer(
        task_id=task.id,
        epoch=epoch,
        session_id=session,
        outcome=outcome,
        facts=facts.SerializeToString() if facts else b"",
    )
    return execution.Change(defer=inner)


def spawn(operation_id: str, *specs: operation_pb2.TaskSpec) -> execution.Change:
    return execution.Change(spawn=execution.Spawn(operation_id=operation_id, tasks=specs))


def skip(task: Task) -> execution.Change:
    return execution.Change(skip=execution.Skip(task_id=task.id))
