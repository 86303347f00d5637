"""What must hold, whatever happens: it watches, and knows nothing of how the parts work.

It keeps rows of its own from the journal, which is every change that was recorded, in order.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from tests.simulation.faults import BrokenPromiseError
from tests.simulation.planner import OPEN, is_done, stages

if TYPE_CHECKING:
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream
    from tests.simulation.attempts import Attempt as Doing
    from tests.unit.scheduler.database import Database

Operation = operation_pb2.Operation
Attempt = operation_pb2.Attempt
Task = operation_pb2.Task
Verdict = execution.Verdict

_ANYTHING = ("", "succeeded", "failed", "not_yet", "cancelled")
_MAY_BE_RECORDED = {
    Attempt.OUTCOME_SUCCEEDED: ("succeeded",),
    Attempt.OUTCOME_FAILED: ("failed",),
    Attempt.OUTCOME_NOT_YET: ("not_yet",),
    # Refused, stopped, or what it said was not wanted any more.
    Attempt.OUTCOME_CANCELLED: ("", "cancelled", "failed", "not_yet"),
    Attempt.OUTCOME_LOST: _ANYTHING,
}
"""What an attempt must have said to be recorded in a way."""

_WAKING_SECONDS = 1.0
"""So long may an engine that was frozen take to see that it is fenced."""


@dataclass
class _Row:
    """A task, as the journal tells."""

    operation_id: str
    state: Task.State.ValueType = Task.STATE_PENDING
    epoch: int = 0
    session_id: str = ""


@dataclass
class _Operation:
    """An operation, as the journal tells."""

    keys: set[str] = field(default_factory=lambda: {"plan/1"})
    owner: str = ""
    is_over: bool = False


class Checker:
    """Raises ``BrokenPromiseError`` as soon as a promise is broken."""

    def __init__(self, database: Database) -> None:
        self.last_change = 0.0
        """When something was recorded last."""

        self.open: dict[str, None] = {}
        """Operations that are not over."""

        self._database = database
        self._rows: dict[str, _Row] = {}
        self._operations: dict[str, _Operation] = defaultdict(_Operation)
        self._outcomes: dict[str, tuple[int, bytes]] = {}
        self._assigned: set[tuple[str, int, str]] = set()
        self._ended: set[tuple[str, int]] = set()
        self._begun: set[tuple[str, int]] = set()
        self._said: dict[tuple[str, int], str] = {}
        self._active: dict[str, list[Doing]] = defaultdict(list)
        self._on_hosts: dict[str, int] = {}
        self._newest_on_hosts: dict[str, int] = defaultdict(int)

    # What schedulers record: I3, I5, I6.

    def submitted(self, operation_id: str, task: Task) -> None:
        """See an operation with its first plan."""
        self._rows[task.id] = _Row(operation_id)
        self._operations[operation_id] = _Operation()
        self.open[operation_id] = None

    def claimed(self, scheduler_id: str, answer: execution.ClaimResponse) -> None:
        """An operation changes hands only when its owner has lost its lease or gave it up."""
        for graph in answer.graphs:
            operation = self._operations[graph.operation.id]
            owner = self._database.owners.get(operation.owner)
            _promise(owner is None or owner.lost, f"{graph.operation.id} has two owners")
            operation.owner = scheduler_id

    def committed(
        self, request: execution.CommitRequest, response: execution.CommitResponse
    ) -> None:
        """Rows follow from the journal; only the owner and the holder of a task write."""
        stored = (request.number, response.SerializeToString(deterministic=True))
        number, before = self._outcomes.get(request.scheduler_id, (0, b""))
        if request.number == number:
            _promise(stored[1] == before, "a commit had two outcomes")
            return
        _promise(request.number == number + 1, "a commit was recorded out of order")
        self._outcomes[request.scheduler_id] = stored
        if request.changes:
            self.last_change = self._database.now
        if not response.verdicts:
            return
        for change, verdict in zip(request.changes, response.verdicts, strict=True):
            if verdict.code == Verdict.CODE_APPLIED:
                kind = change.WhichOneof("change") or ""
                apply = getattr(self, f"_{kind}")
                apply(request.scheduler_id, getattr(change, kind), verdict)
        for change in request.changes:
            self._compare(
                getattr(getattr(change, change.WhichOneof("change") or ""), "task_id", "")
            )

    def _assign(self, scheduler_id: str, change: execution.Assign, _: Verdict) -> None:
        row = self._owned(scheduler_id, change.task_id)
        _promise(
            row.state == Task.STATE_PENDING and change.epoch == row.epoch + 1,
            f"{change.task_id} was handed out although it was not free",
        )
        _promise(
            self._database.is_alive(change.session_id),
            f"{change.task_id} was given to a session that is over",
        )
        row.state, row.epoch, row.session_id = (
            Task.STATE_ASSIGNED,
            change.epoch,
            change.session_id,
        )
        self._assigned.add((change.task_id, change.epoch, change.session_id))

    def _finish(self, scheduler_id: str, change: execution.Finish, _: Verdict) -> None:
        self._end(scheduler_id, change, change.state)

    def _defer(self, scheduler_id: str, change: execution.Defer, _: Verdict) -> None:
        self._end(scheduler_id, change, Task.STATE_PENDING)

    def _end(
        self,
        scheduler_id: str,
        change: execution.Finish | execution.Defer,
        state: Task.State.ValueType,
    ) -> None:
        row = self._owned(scheduler_id, change.task_id)
        _promise(
            (row.state, row.epoch, row.session_id)
            == (Task.STATE_ASSIGNED, change.epoch, change.session_id),
            f"{change.task_id} was ended by attempt {change.epoch}, which did not hold it",
        )
        _promise(
            change.outcome != Attempt.OUTCOME_LOST
            or not self._database.is_alive(change.session_id),
            f"{change.task_id} was taken from an engine whose lease is not over",
        )
        said = self._said.get((change.task_id, change.epoch), "")
        _promise(
            said in _MAY_BE_RECORDED[change.outcome],
            f"{change.task_id} said {said or 'nothing'} and was recorded otherwise",
        )
        row.state = state
        self._ended.add((change.task_id, change.epoch))

    def _skip(self, scheduler_id: str, change: execution.Skip, _: Verdict) -> None:
        row = self._owned(scheduler_id, change.task_id)
        _promise(row.state == Task.STATE_PENDING, f"{change.task_id} was skipped while it ran")
        row.state = Task.STATE_FAILED if change.HasField("failure") else Task.STATE_SKIPPED

    def _spawn(self, scheduler_id: str, change: execution.Spawn, verdict: Verdict) -> None:
        operation = self._writable(scheduler_id, change.operation_id)
        for task in verdict.spawned:
            _promise(
                task.spec.key not in operation.keys,
                f"key {task.spec.key} of {change.operation_id} was stored twice",
            )
            operation.keys.add(task.spec.key)
            self._rows[task.id] = _Row(change.operation_id)

    def _end_operation(self, scheduler_id: str, change: execution.EndOperation, _: Verdict) -> None:
        operation = self._writable(scheduler_id, change.operation_id)
        operation.is_over = True
        del self.open[change.operation_id]
        for task_id, row in self._rows.items():
            if row.operation_id == change.operation_id:
                row.state = Task.STATE_SKIPPED if row.state in OPEN else row.state
                _promise(
                    not self._living(task_id), f"{task_id} runs although its operation is over"
                )

    def _acknowledge_cancel(
        self, scheduler_id: str, change: execution.AcknowledgeCancel, _: Verdict
    ) -> None:
        self._writable(scheduler_id, change.operation_id)

    def _owned(self, scheduler_id: str, task_id: str) -> _Row:
        row = self._rows[task_id]
        self._writable(scheduler_id, row.operation_id)
        return row

    def _writable(self, scheduler_id: str, operation_id: str) -> _Operation:
        operation = self._operations[operation_id]
        _promise(
            operation.owner == scheduler_id and not operation.is_over,
            f"{scheduler_id} wrote to {operation_id}, which it does not own",
        )
        return operation

    def _compare(self, task_id: str) -> None:
        """The journal, replayed, gives the rows."""
        if not task_id:
            return
        row, stored = self._rows[task_id], self._database.tasks[task_id]
        _promise(
            (row.state, row.epoch) == (stored.state, stored.epoch),
            f"{task_id} is not what the journal tells",
        )

    # What is said: I1, I2.

    def sent(self, session_id: str, message: stream.ConnectResponse) -> None:
        """Hand-outs and acknowledgements follow what is recorded."""
        for each in message.run.assignments:
            _promise(
                (each.attempt.task_id, each.attempt.epoch, session_id) in self._assigned,
                f"{each.attempt.task_id} was handed out before that was recorded",
            )
        for ref in message.done_ack.attempts:
            over = self._operations[self._rows[ref.task_id].operation_id].is_over
            _promise(
                over or (ref.task_id, ref.epoch) in self._ended,
                f"{ref.task_id} was acknowledged before it was recorded",
            )

    def said(self, result: stream.Result) -> None:
        """See what an engine owes; it says it again until that is acknowledged."""
        key = (result.attempt.task_id, result.attempt.epoch)
        outcome = result.WhichOneof("outcome") or ""
        _promise(
            self._said.setdefault(key, outcome) == outcome or key in self._ended,
            f"attempt {key[1]} of {key[0]} said {self._said[key]} and {outcome}",
        )

    # What runs: I4.

    def began(self, attempt: Doing) -> None:
        """An attempt begins once, and nobody else does the same."""
        task_id = attempt.ref.task_id
        _promise(
            (task_id, attempt.ref.epoch) not in self._begun,
            f"attempt {attempt.ref.epoch} of {task_id} began twice",
        )
        self._begun.add((task_id, attempt.ref.epoch))
        self._active[task_id].append(attempt)
        self.look(task_id)

    def ended(self, attempt: Doing) -> None:
        """See the end of an attempt in its engine."""
        task_id = attempt.ref.task_id
        self._active[task_id].remove(attempt)
        if not self._active[task_id]:
            del self._active[task_id]

    def look(self, task_id: str) -> None:
        """Who does a task holds a lease, and two never do one task at once."""
        living = self._living(task_id)
        for each in living:
            _promise(
                self._database.is_alive(each.session.id),
                f"{each.engine.name} does {task_id} although its lease is over",
            )
        if len(living) > 1:
            names = " and ".join(each.engine.name for each in living)
            raise BrokenPromiseError(f"{task_id} runs on {names} at once")

    def look_around(self) -> None:
        """Look at all that runs."""
        for task_id in self._active:
            self.look(task_id)

    def _living(self, task_id: str) -> list[Doing]:
        now = self._database.now
        return [
            each
            for each in self._active.get(task_id, ())
            if each.is_doing and now - each.engine.woken > _WAKING_SECONDS
        ]

    def host_began(self, task_id: str, epoch: int) -> None:
        """A command runs once at a time, and never after a later one."""
        _promise(task_id not in self._on_hosts, f"{task_id} runs twice at once on its host")
        _promise(
            epoch > self._newest_on_hosts[task_id],
            f"attempt {epoch} of {task_id} began on its host after a later one",
        )
        self._on_hosts[task_id] = self._newest_on_hosts[task_id] = epoch

    def host_ended(self, task_id: str, epoch: int) -> None:
        """See the end of a command."""
        if self._on_hosts.get(task_id) == epoch:
            del self._on_hosts[task_id]

    # How it ends: I7 is that it does.

    @property
    def attempts(self) -> int:
        """Give the number of attempts that began."""
        return len(self._begun)

    def finished(self) -> None:
        """All operations are over: as they said, and with nothing left."""
        for task_id in self._rows:
            self._compare(task_id)
            _promise(not self._living(task_id), f"{task_id} runs although all is over")
        for operation_id, row in self._database.operations.items():
            self._check_end(operation_id, row.message)

    def _check_end(self, operation_id: str, operation: Operation) -> None:
        _promise(operation.failure.reason != "PLAN_STUCK", f"{operation_id} was planned to nowhere")
        tasks = {each.spec.key: each for each in self._database.tasks_of(operation_id)}
        if operation.state == Operation.STATE_SUCCEEDED:
            for each in (each for stage in stages(operation_id) for each in stage):
                _promise(is_done(each.key, tasks), f"{each.key} was lost, {operation_id} succeeded")
        for task in tasks.values():
            _promise(task.state not in OPEN, f"{task.id} is open, {operation_id} is over")


def _promise(holds: bool, told: str) -> None:
    if not holds:
        raise BrokenPromiseError(told)
