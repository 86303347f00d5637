"""The conductor's rules and the second reading of them, side by side: both must say the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from tests.unit.scheduler.database import Database
from tests.unit.scheduler.stored_database import StoredDatabase

if TYPE_CHECKING:
    from sqlalchemy import Connection

Operation = operation_pb2.Operation
Task = operation_pb2.Task
_OF_TASKS = ("assign", "finish", "defer", "skip")


class ComparedDatabase(StoredDatabase):
    """Asks both, compares, and gives what the conductor says."""

    def __init__(self, connection: Connection) -> None:
        """Take a connection as ``StoredDatabase`` does."""
        super().__init__(connection)
        # Its clock counts microseconds: floats are exact then, also where a lease ends.
        self._model = Database(lease=self.lease * 1_000_000)

    def _second(self) -> Database:
        self._model.now = float(self._micros())
        return self._model

    def renew_scheduler(self, scheduler_id: str) -> None:
        self._second().renew_scheduler(scheduler_id)
        super().renew_scheduler(scheduler_id)

    def release(self, scheduler_id: str) -> None:
        self._second().release(scheduler_id)
        super().release(scheduler_id)
        self._compare()

    def renew_session(self, session_id: str) -> bool:
        renewed = super().renew_session(session_id)
        assert self._second().renew_session(session_id) == renewed, "a session"
        return renewed

    def is_alive(self, session_id: str) -> bool:
        alive = super().is_alive(session_id)
        assert self._second().is_alive(session_id) == alive, "a lease"
        return alive

    def create(
        self, operation_id: str, project_id: str = "p1", *specs: operation_pb2.TaskSpec
    ) -> str:
        made = super().create(operation_id, project_id, *specs)
        self._second().create(made, project_id, *specs)
        self._compare()
        return made

    def request_cancel(self, operation_id: str) -> None:
        super().request_cancel(operation_id)
        if not self.operations[operation_id].is_over:
            self._second().request_cancel(operation_id)
        self._compare()

    def claim(self, scheduler_id: str, known_cancels: set[str]) -> execution.ClaimResponse:
        said = super().claim(scheduler_id, known_cancels)
        expected = self._second().claim(scheduler_id, known_cancels)
        assert sorted(said.cancels) == sorted(expected.cancels), "cancels"
        assert _graphs(said) == _graphs(expected), "what is claimed"
        self._compare()
        return said

    def commit(self, request: execution.CommitRequest) -> execution.CommitResponse:
        same = self._renamed(request)
        said = super().commit(request)
        expected = self._second().commit(same)
        assert _verdicts(said) == _verdicts(expected), "verdicts"
        self._compare()
        return said

    def _renamed(self, request: execution.CommitRequest) -> execution.CommitRequest:
        """Name tasks as the model does, which makes their ids of their keys."""
        same = execution.CommitRequest()
        same.CopyFrom(request)
        for each in same.changes:
            kind = each.WhichOneof("change")
            if kind in _OF_TASKS:
                change = getattr(each, kind)
                task = self.tasks[change.task_id]
                change.task_id = f"{task.operation_id}:{task.spec.key}"
        return same

    def _compare(self) -> None:
        _same(_tasks(self), _tasks(self._model))
        _same(_operations(self), _operations(self._model))


def _same(said: dict[str, object], expected: dict[str, object]) -> None:
    names = said.keys() | expected.keys()
    differ = {each: (said.get(each), expected.get(each)) for each in names}
    assert said == expected, {each: two for each, two in differ.items() if two[0] != two[1]}


def _verdicts(answer: execution.CommitResponse) -> list[tuple[int, list[str]]]:
    return [(each.code, [task.spec.key for task in each.spawned]) for each in answer.verdicts]


def _graphs(answer: execution.ClaimResponse) -> dict[str, object]:
    return {
        graph.operation.id: (
            {each.spec.key for each in graph.tasks},
            {each.session_id: bool(each.remaining.ToMicroseconds()) for each in graph.sessions},
        )
        for graph in answer.graphs
    }


def _tasks(database: Database) -> dict[str, object]:
    return {
        f"{operation_id}:{key}": (
            Task.State.Name(each.state),
            each.epoch,
            each.session_id,
            each.failed_attempts,
            each.lost_attempts,
            each.HasField("waiting_since_time"),
            each.failure,
        )
        for (operation_id, key), each in database.by_key.items()
    }


def _operations(database: Database) -> dict[str, object]:
    """The model keeps the owners of those that have ended, which are asked by nobody, and does not
    tell those that wait for their first hand-out from others under way."""
    return {
        name: (
            "" if row.is_over else row.owner,
            Operation.State.Name(row.message.state) if row.is_over else "open",
            row.message.cancel_requested,
            row.message.cancel_acknowledged,
            row.message.failure,
        )
        for name, row in database.operations.items()
    }
