"""The conductor's rules in memory: what it would say to each commit, without a database.

It is a second, independent reading of ``execution_service.proto``; ``stored_database.py`` gives the
conductor's own code the same front, ``compared.py`` lets both answer, and ``test_service.py`` runs
the whole of both services.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation
Task = operation_pb2.Task
Verdict = execution.Verdict

OPEN = (Task.STATE_PENDING, Task.STATE_ASSIGNED)
INVALID_FACTS = b"nonsense"


class LeaseLostError(Exception):
    """ABORTED: the incarnation owns nothing any more."""


class OutOfOrderError(Exception):
    """FAILED_PRECONDITION: the number is neither the last one nor its successor."""


@dataclass
class Owner:
    """A row of a scheduler."""

    lease_until: float
    lost: bool = False
    last_number: int = 0
    last_answer: execution.CommitResponse = field(default_factory=execution.CommitResponse)


@dataclass
class OperationRow:
    """An operation and who owns it."""

    message: Operation
    owner: str = ""
    is_over: bool = False


@dataclass
class Database:
    """Rows, and a log of what was recorded."""

    now: float = 0.0
    lease: float = 6.0
    checks_epochs: bool = True
    checks_owners: bool = True
    asks_sessions: bool = True
    keeps_keys: bool = True
    owners: dict[str, Owner] = field(default_factory=dict)
    sessions: dict[str, float] = field(default_factory=dict)
    engine_ids: dict[str, str] = field(default_factory=dict)
    """Names of engines by session, where they matter."""

    operations: dict[str, OperationRow] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    by_key: dict[tuple[str, str], Task] = field(default_factory=dict)
    assigned: set[tuple[str, int, str]] = field(default_factory=set)
    ends: dict[tuple[str, int], list[Attempt.Outcome.ValueType]] = field(default_factory=dict)
    """Outcomes recorded for each attempt: never more than one."""

    # Leases.

    def renew_scheduler(self, scheduler_id: str) -> None:
        owner = self.owners.setdefault(scheduler_id, Owner(self.now + self.lease))
        self._own(scheduler_id)
        owner.lease_until = self.now + self.lease

    def release(self, scheduler_id: str) -> None:
        if scheduler_id in self.owners:
            self.owners[scheduler_id].lost = True
        for row in self.operations.values():
            if row.owner == scheduler_id:
                row.owner = ""

    def renew_session(self, session_id: str) -> bool:
        """Say whether the session could be renewed."""
        if self.now > self.sessions.get(session_id, self.now):
            return False
        self.sessions[session_id] = self.now + self.lease
        return True

    def is_alive(self, session_id: str) -> bool:
        return self.now <= self.sessions.get(session_id, -1.0)

    def _own(self, scheduler_id: str) -> Owner:
        owner = self.owners.get(scheduler_id)
        if owner is None or (owner.lost and self.checks_owners):
            raise LeaseLostError
        return owner

    # Operations.

    def create(
        self, operation_id: str, project_id: str = "p1", *specs: operation_pb2.TaskSpec
    ) -> str:
        """Store an operation with its first plan, or with the tasks given; gives its id."""
        message = Operation(
            id=operation_id, project_id=project_id, state=Operation.STATE_PENDING, traceparent="t"
        )
        self.operations[operation_id] = OperationRow(message)
        first = operation_pb2.TaskSpec(
            key="plan/1", kind="plan", pool="plan", is_plan=True, priority=100
        )
        for spec in specs or (first,):
            self._store(operation_id, spec)
        return operation_id

    def request_cancel(self, operation_id: str) -> None:
        self.operations[operation_id].message.cancel_requested = True

    def task(self, key: str, operation_id: str = "op") -> Task:
        return self.by_key[operation_id, key]

    def tasks_of(self, operation_id: str) -> list[Task]:
        return [each for each in self.tasks.values() if each.operation_id == operation_id]

    def claim(self, scheduler_id: str, known_cancels: set[str]) -> execution.ClaimResponse:
        self._own(scheduler_id)
        for other, owner in self.owners.items():
            if not owner.lost and owner.lease_until < self.now:
                self.release(other)
        self._own(scheduler_id)
        answer = execution.ClaimResponse()
        answer.time.FromMilliseconds(self._millis())
        for row in self.operations.values():
            if row.is_over:
                continue
            if not row.owner:
                row.owner = scheduler_id
                answer.graphs.append(self._graph(row))
            # Also of those that are new to the caller: it owns them from now on.
            if (
                row.owner == scheduler_id
                and row.message.cancel_requested
                and row.message.id not in known_cancels
            ):
                answer.cancels.append(row.message.id)
        return answer

    def _graph(self, row: OperationRow) -> execution.Graph:
        graph = execution.Graph(operation=row.message, tasks=self.tasks_of(row.message.id))
        held = {each.session_id for each in graph.tasks if each.state == Task.STATE_ASSIGNED}
        for session_id in sorted(held):
            name = self.engine_ids.get(session_id, "")
            lease = graph.sessions.add(session_id=session_id, engine_id=name)
            rest = max(0.0, self.sessions.get(session_id, 0.0) - self.now)
            lease.remaining.FromMilliseconds(int(rest * 1000))
        return graph

    def _store(self, operation_id: str, spec: operation_pb2.TaskSpec) -> Task:
        task = Task(
            id=f"{operation_id}:{spec.key}",
            operation_id=operation_id,
            spec=spec,
            state=Task.STATE_PENDING,
        )
        self.tasks[task.id] = self.by_key[operation_id, spec.key] = task
        return task

    # Commits.

    def commit(self, request: execution.CommitRequest) -> execution.CommitResponse:
        owner = self._own(request.scheduler_id)
        if request.number == owner.last_number:
            return owner.last_answer
        if request.number != owner.last_number + 1:
            raise OutOfOrderError(f"commit {request.number} does not follow {owner.last_number}")
        answer = execution.CommitResponse()
        for change in request.changes:
            kind = change.WhichOneof("change") or ""
            verdict = getattr(self, f"_{kind}")(request.scheduler_id, getattr(change, kind))
            answer.verdicts.append(
                verdict if isinstance(verdict, Verdict) else Verdict(code=verdict)
            )
        owner.last_number, owner.last_answer = request.number, answer
        return answer

    def _owns(self, scheduler_id: str, operation_id: str) -> bool:
        row = self.operations[operation_id]
        return not row.is_over and (row.owner == scheduler_id or not self.checks_owners)

    def _assign(self, scheduler_id: str, change: execution.Assign) -> Verdict.Code.ValueType:
        task = self.tasks[change.task_id]
        if not self._owns(scheduler_id, task.operation_id):
            return Verdict.CODE_NOT_OWNED
        if task.state != Task.STATE_PENDING or change.epoch != task.epoch + 1:
            return Verdict.CODE_STALE
        if not self.is_alive(change.session_id):
            return Verdict.CODE_SESSION_ENDED
        task.state = Task.STATE_ASSIGNED
        task.epoch, task.session_id = change.epoch, change.session_id
        self.assigned.add((task.id, task.epoch, task.session_id))
        return Verdict.CODE_APPLIED

    def _end_attempt(
        self, scheduler_id: str, change: execution.Finish | execution.Defer, *, fenced: bool
    ) -> Verdict.Code.ValueType:
        task = self.tasks[change.task_id]
        if not self._owns(scheduler_id, task.operation_id):
            return Verdict.CODE_NOT_OWNED
        holds = (Task.STATE_ASSIGNED, change.epoch, change.session_id)
        if self.checks_epochs and (task.state, task.epoch, task.session_id) != holds:
            return Verdict.CODE_STALE
        if fenced and self.asks_sessions and self.is_alive(change.session_id):
            return Verdict.CODE_SESSION_ALIVE
        if change.facts == INVALID_FACTS:
            return Verdict.CODE_INVALID
        task.failed_attempts += change.outcome == Attempt.OUTCOME_FAILED
        task.lost_attempts += change.outcome == Attempt.OUTCOME_LOST
        if change.HasField("failure"):
            task.failure.CopyFrom(change.failure)
        self.ends.setdefault((task.id, change.epoch), []).append(change.outcome)
        return Verdict.CODE_APPLIED

    def _finish(self, scheduler_id: str, change: execution.Finish) -> Verdict.Code.ValueType:
        lost = change.outcome == Attempt.OUTCOME_LOST
        code = self._end_attempt(scheduler_id, change, fenced=lost)
        if code == Verdict.CODE_APPLIED:
            task = self.tasks[change.task_id]
            task.state = change.state
            if not change.HasField("failure"):
                # What went wrong before is nothing to those who ask how it ended.
                task.ClearField("failure")
        return code

    def _defer(self, scheduler_id: str, change: execution.Defer) -> Verdict.Code.ValueType:
        code = self._end_attempt(scheduler_id, change, fenced=change.only_if_session_ended)
        if code == Verdict.CODE_APPLIED:
            task = self.tasks[change.task_id]
            task.state = Task.STATE_PENDING
            task.not_before_time.FromMilliseconds(self._millis() + change.delay.ToMilliseconds())
            if change.outcome == Attempt.OUTCOME_NOT_YET and not task.HasField(
                "waiting_since_time"
            ):
                task.waiting_since_time.FromMilliseconds(self._millis())
        return code

    def _millis(self) -> int:
        return int(self.now * 1000)

    def _skip(self, scheduler_id: str, change: execution.Skip) -> Verdict.Code.ValueType:
        task = self.tasks[change.task_id]
        if not self._owns(scheduler_id, task.operation_id):
            return Verdict.CODE_NOT_OWNED
        if task.state != Task.STATE_PENDING:
            return Verdict.CODE_STALE
        task.state = Task.STATE_SKIPPED
        if change.HasField("failure"):
            task.state = Task.STATE_FAILED
            task.failure.CopyFrom(change.failure)
        return Verdict.CODE_APPLIED

    def _spawn(
        self, scheduler_id: str, change: execution.Spawn
    ) -> Verdict | Verdict.Code.ValueType:
        if not self._owns(scheduler_id, change.operation_id):
            return Verdict.CODE_NOT_OWNED
        fresh = [
            each
            for each in change.tasks
            if not self.keeps_keys or (change.operation_id, each.key) not in self.by_key
        ]
        stored = {each.key: self._store(change.operation_id, each) for each in fresh}
        return Verdict(code=Verdict.CODE_APPLIED, spawned=stored.values())

    def _end_operation(
        self, scheduler_id: str, change: execution.EndOperation
    ) -> Verdict.Code.ValueType:
        if not self._owns(scheduler_id, change.operation_id):
            return Verdict.CODE_NOT_OWNED
        row = self.operations[change.operation_id]
        row.is_over, row.message.state = True, change.state
        if change.HasField("failure"):
            row.message.failure.CopyFrom(change.failure)
        for task in self.tasks_of(change.operation_id):
            if task.state in OPEN:
                task.state = Task.STATE_SKIPPED
        return Verdict.CODE_APPLIED

    def _acknowledge_cancel(
        self, scheduler_id: str, change: execution.AcknowledgeCancel
    ) -> Verdict.Code.ValueType:
        if not self._owns(scheduler_id, change.operation_id):
            return Verdict.CODE_NOT_OWNED
        self.operations[change.operation_id].message.cancel_acknowledged = True
        return Verdict.CODE_APPLIED
