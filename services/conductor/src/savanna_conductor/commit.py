"""Recording a scheduler's decisions: one transaction, fenced by its lease, each change by epoch and
session.

The rows that a commit touches are read once, changed in memory in the order of the changes, and
written once: a few statements, whatever the number of changes. A commit whose number is the last
one's is not applied again: its stored outcome is given, so that a lost reply loses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import update

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor import (
    convert,
    facts,
    leases,
    operations,
    outcomes,
    task_rows,
    telling,
)
from savanna_conductor.store import arrays, schema
from savanna_kit.errors import FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from savanna_conductor.store.transaction import Transaction
    from savanna_conductor.task_rows import TaskRow

Task = operation_pb2.Task
Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Verdict = execution.Verdict

_ENDS = (Task.STATE_SUCCEEDED, Task.STATE_FAILED, Task.STATE_SKIPPED)


def commit(transaction: Transaction, request: execution.CommitRequest) -> execution.CommitResponse:
    """Apply a commit, or give the outcome of the same one.

    Raises ``Aborted`` and ``FailedPrecondition``.
    """
    changes = [_opened(each) for each in request.changes]
    named = {inner.session_id for kind, inner in changes if kind in _BY_ENGINES}
    last, sessions = leases.fence(transaction, request.scheduler_id, named)
    if request.number == last and request.number:
        stored = leases.own_scheduler(transaction, request.scheduler_id).last_outcome
        return outcomes.read(transaction, stored)
    if request.number != last + 1:
        raise FailedPrecondition(
            f"commit {request.number} does not follow {last}", reason="COMMIT_OUT_OF_ORDER"
        )
    response = _Commit(transaction, request.scheduler_id, changes, sessions).apply()
    arrays.update_by_ids(
        transaction,
        schema.scheduler,
        [request.scheduler_id],
        {"last_commit": request.number, "last_outcome": outcomes.bare(response)},
    )
    return response


def _opened(change: execution.Change) -> tuple[str, Any]:
    kind = change.WhichOneof("change")
    if kind is None:
        raise InvalidArgument("a change is empty", reason="CHANGE_EMPTY")
    return kind, getattr(change, kind)


@dataclass
class _Work:
    """What a commit is made of, while it is applied."""

    tasks: dict[str, TaskRow] = field(default_factory=dict)
    """Those that are named, if the scheduler owns their operations."""

    operations: dict[str, operation_pb2.Operation] = field(default_factory=dict)
    """Those that are changed as a whole, if the scheduler owns them."""

    ended: set[str] = field(default_factory=set)
    lost_sessions: set[str] = field(default_factory=set)
    taught: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    ends: list[execution.EndOperation] = field(default_factory=list)
    spawned: task_rows.NewTasks = field(default_factory=task_rows.NewTasks)
    keys: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Of new tasks, by operation."""


class _Commit:
    """One commit under way."""

    def __init__(
        self,
        transaction: Transaction,
        scheduler_id: str,
        changes: Sequence[tuple[str, Any]],
        sessions: Mapping[str, leases.Session],
    ) -> None:
        self._transaction = transaction
        self._scheduler_id = scheduler_id
        self._changes = changes
        self._sessions = sessions
        self._now = transaction.now
        self._work = _Work()

    def apply(self) -> execution.CommitResponse:
        """Read, change, write."""
        self._load()
        do = {kind: getattr(self, f"_{kind}") for kind in {kind for kind, _ in self._changes}}
        response = execution.CommitResponse(
            verdicts=[do[kind](inner) for kind, inner in self._changes]
        )
        self._store()
        return response

    def _load(self) -> None:
        connection = self._transaction.connection
        task_ids = [inner.task_id for kind, inner in self._changes if kind in _OF_TASKS]
        tasks = self._work.tasks = task_rows.load(connection, task_ids, owner=self._scheduler_id)
        self._name_engines()
        whole = {inner.operation_id for kind, inner in self._changes if kind not in _OF_TASKS}
        for kind, inner in self._changes:
            if kind in _TEACHING and inner.facts and inner.task_id in tasks:
                whole.add(tasks[inner.task_id].operation_id)
        pending = operation_pb2.Operation.STATE_PENDING
        whole |= {each.operation_id for each in tasks.values() if each.operation.state == pending}
        for row in arrays.select_by_ids(connection, schema.operation, _OPERATION, whole):
            if row.owner == self._scheduler_id:
                self._work.operations[row.id] = convert.operation(row)

    def _name_engines(self) -> None:
        """Name the engines of tasks for the journal, also of those that had one before."""
        engines = {each.id: each.engine_id for each in self._sessions.values()}
        tasks = self._work.tasks
        skipped = {inner.task_id for kind, inner in self._changes if kind == "skip"} & tasks.keys()
        if former := {tasks[each].session_id for each in skipped} - {"", *engines}:
            found = leases.find_sessions(self._transaction, former)
            engines |= {row.id: row.engine_id for row in found}
        for task in tasks.values():
            task.engine_id = engines.get(task.session_id, "")

    def _assign(self, change: execution.Assign) -> Verdict:
        task = self._task(change.task_id)
        if task is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        if task.state != Task.STATE_PENDING or change.epoch != task.epoch + 1:
            return Verdict(code=Verdict.CODE_STALE)
        session = self._sessions.get(change.session_id)
        if session is None or not leases.is_alive(session, self._now):
            return Verdict(code=Verdict.CODE_SESSION_ENDED)
        task.hand_out(session, self._now)
        if not task.polled:
            self._tell(task, Entry.KIND_TASK_ASSIGNED)
        if task.operation_id in self._work.operations:
            operations.note_start(self._transaction, self._work.operations[task.operation_id])
        return Verdict(code=Verdict.CODE_APPLIED)

    def _finish(self, change: execution.Finish) -> Verdict:
        task = self._held(change.task_id, change.epoch, change.session_id)
        if isinstance(task, Verdict):
            return task
        if change.state not in _ENDS:
            raise InvalidArgument(
                "a task ends SUCCEEDED, FAILED or SKIPPED", reason="STATE_INVALID"
            )
        # Also who gives a task up because its engine is lost must know that it is.
        lost = change.outcome == Attempt.OUTCOME_LOST
        if lost and not self._lost(change.session_id):
            return Verdict(code=Verdict.CODE_SESSION_ALIVE)
        if change.facts and not self._teach(task, change.facts):
            return Verdict(code=Verdict.CODE_INVALID)
        failure = change.failure if change.HasField("failure") else None
        task.end(change.state, failure.SerializeToString() if failure else b"", self._now)
        if lost or change.outcome == Attempt.OUTCOME_FAILED:
            task.lost_attempts += lost
            task.failed_attempts += not lost
            task.note_all()
        self._tell(task, Entry.KIND_TASK_ENDED, change.outcome, failure)
        return Verdict(code=Verdict.CODE_APPLIED)

    def _defer(self, change: execution.Defer) -> Verdict:
        task = self._held(change.task_id, change.epoch, change.session_id)
        if isinstance(task, Verdict):
            return task
        lost = change.outcome == Attempt.OUTCOME_LOST
        if (lost or change.only_if_session_ended) and not self._lost(change.session_id):
            return Verdict(code=Verdict.CODE_SESSION_ALIVE)
        if change.facts and not self._teach(task, change.facts):
            return Verdict(code=Verdict.CODE_INVALID)
        failed = change.outcome == Attempt.OUTCOME_FAILED
        not_yet = change.outcome == Attempt.OUTCOME_NOT_YET
        failure = change.failure if change.HasField("failure") else None
        task.state = Task.STATE_PENDING
        task.not_before = self._now + change.delay.ToMicroseconds()
        task.failed_attempts += failed
        task.lost_attempts += lost
        if failure is not None:
            task.failure = failure.SerializeToString()
        if not_yet and not task.waiting_since:
            task.waiting_since = self._now
        # A poll that changes nothing is not told, nor is the next hand-out: one attempt to readers.
        silent = not_yet and not change.facts
        task.polled = silent
        task.note_all()
        if not silent:
            self._tell(task, Entry.KIND_TASK_RETRIED, change.outcome, failure)
        return Verdict(code=Verdict.CODE_APPLIED)

    def _skip(self, change: execution.Skip) -> Verdict:
        task = self._task(change.task_id)
        if task is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        if task.state != Task.STATE_PENDING:
            return Verdict(code=Verdict.CODE_STALE)
        failure = change.failure if change.HasField("failure") else None
        state = Task.STATE_SKIPPED if failure is None else Task.STATE_FAILED
        told = task.failure if failure is None else failure.SerializeToString()
        task.end(state, told, self._now)
        self._tell(task, Entry.KIND_TASK_SKIPPED, failure=failure)
        return Verdict(code=Verdict.CODE_APPLIED)

    def _spawn(self, change: execution.Spawn) -> Verdict:
        operation = self._operation(change.operation_id)
        if operation is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        connection, asked = self._transaction.connection, [each.key for each in change.tasks]
        number, known = task_rows.stored_keys(connection, operation.id, asked)
        new = self._work.keys[operation.id]
        verdict = Verdict(code=Verdict.CODE_APPLIED)
        for spec in change.tasks:
            if spec.key in known or spec.key in new:
                continue
            new.add(spec.key)
            task_id, stored = self._work.spawned.add(operation.id, spec, number + len(new))
            verdict.spawned.add(
                id=task_id, operation_id=operation.id, spec=spec, state=Task.STATE_PENDING
            )
            telling.task_created(self._transaction, operation, task_id, stored, spec.needs)
        return verdict

    def _end_operation(self, change: execution.EndOperation) -> Verdict:
        if self._operation(change.operation_id) is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        if change.state in (*operations.OPEN, operation_pb2.Operation.STATE_UNSPECIFIED):
            raise InvalidArgument(
                "an operation ends SUCCEEDED, FAILED or CANCELLED", reason="STATE_INVALID"
            )
        self._work.ends.append(change)
        self._work.ended.add(change.operation_id)
        return Verdict(code=Verdict.CODE_APPLIED)

    def _acknowledge_cancel(self, change: execution.AcknowledgeCancel) -> Verdict:
        operation = self._operation(change.operation_id)
        if operation is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        operation.cancel_acknowledged = True
        self._transaction.connection.execute(
            update(schema.operation)
            .where(schema.operation.c.id == change.operation_id)
            .values(cancel_acknowledged=True)
        )
        return Verdict(code=Verdict.CODE_APPLIED)

    def _store(self) -> None:
        self._work.spawned.store(self._transaction)
        task_rows.store(self._transaction, self._work.tasks.values())
        if self._work.lost_sessions:
            leases.end_sessions(self._transaction, self._work.lost_sessions)
        for operation_id, taught in self._work.taught.items():
            operation = self._work.operations[operation_id]
            was_completing = operation.is_completing
            facts.apply(self._transaction, operation, taught)
            if operation.is_completing and not was_completing:
                operations.note_completing(self._transaction, operation)
        for each in self._work.ends:
            operation = self._work.operations[each.operation_id]
            final = _final_state(self._work.taught.get(operation.id, []))
            operations.end(self._transaction, operation, each, final)

    def _task(self, task_id: str) -> TaskRow | None:
        """Find a task of an operation that the scheduler owns and has not ended."""
        task = self._work.tasks.get(task_id)
        return None if task is None or task.operation_id in self._work.ended else task

    def _operation(self, operation_id: str) -> operation_pb2.Operation | None:
        """Find an operation that the scheduler owns and has not ended."""
        return None if operation_id in self._work.ended else self._work.operations.get(operation_id)

    def _held(self, task_id: str, epoch: int, session_id: str) -> TaskRow | Verdict:
        """Find a task that this attempt still holds, or say why not."""
        task = self._task(task_id)
        if task is None:
            return Verdict(code=Verdict.CODE_NOT_OWNED)
        holds = (task.state, task.epoch, task.session_id) == (
            Task.STATE_ASSIGNED,
            epoch,
            session_id,
        )
        return task if holds else Verdict(code=Verdict.CODE_STALE)

    def _lost(self, session_id: str) -> bool:
        """Say whether a session is over; then it is so for ever."""
        if leases.is_alive(self._sessions.get(session_id), self._now):
            return False
        self._work.lost_sessions.add(session_id)
        return True

    def _teach(self, task: TaskRow, data: bytes) -> bool:
        try:
            facts.parse(data)
        except InvalidArgument:
            return False
        self._work.taught[task.operation_id].append(data)
        return True

    def _tell(
        self,
        task: TaskRow,
        kind: Entry.Kind.ValueType,
        outcome: Attempt.Outcome.ValueType = Attempt.OUTCOME_UNSPECIFIED,
        failure: operation_pb2.Failure | None = None,
    ) -> None:
        telling.attempt_changed(self._transaction, task, kind, outcome, failure)


_OPERATION = tuple(each.name for each in schema.operation.c)
_BY_ENGINES = {"assign", "finish", "defer"}
_OF_TASKS = {*_BY_ENGINES, "skip"}
_TEACHING = {"finish", "defer"}


def _final_state(taught: Iterable[bytes]) -> cluster_pb2.Cluster.State.ValueType:
    state = cluster_pb2.Cluster.STATE_UNSPECIFIED
    for data in taught:
        state = facts.parse(data).final_state or state
    return state
