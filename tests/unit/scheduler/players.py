"""Engines and a planner for any order of events: they do what they are told, keep results until
these are acknowledged, and plan from the rows."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.unit.scheduler.database import Database
    from tests.unit.scheduler.stage import Stage

Failure = operation_pb2.Failure
Operation = operation_pb2.Operation
Task = operation_pb2.Task
TaskSpec = operation_pb2.TaskSpec
Attempt = tuple[str, int]
"""Task and epoch."""

OPEN = (Task.STATE_PENDING, Task.STATE_ASSIGNED)


class Player(Engine):
    """An engine that holds attempts of many operations; it may not know every kind of step."""

    def __init__(
        self, stage: Stage, name: str, slots: Mapping[str, int], engine_id: str, kinds: set[str]
    ) -> None:
        super().__init__(stage, name, slots, engine_id)
        self.kinds = kinds
        self.leaving = False
        self.given: dict[Attempt, stream.Assignment] = {}
        """What it does now."""

        self.unsaid: dict[Attempt, tuple[stream.Assignment, stream.Result]] = {}
        """Results that were not acknowledged yet."""

        self.old: list[stream.Result] = []
        """Results that were."""

        self.refused_kinds: set[str] = set()

    @property
    def is_alive(self) -> bool:
        """Say whether its lease holds; an engine stops its work before it ends."""
        return self.stage.database.is_alive(self.session_id)

    def free(self, pool: str) -> int:
        """Give its free slots."""
        return self.slots.get(pool, 0) - Counter(each.pool for each in self.given.values())[pool]

    def serves(self, spec: TaskSpec) -> bool:
        """Say whether it would take such a task, as far as anybody can know."""
        able = self.connected and not self.leaving and spec.kind not in self.refused_kinds
        return able and self.slots.get(spec.pool, 0) > 0

    def come(self, stage: Stage) -> None:
        """Open a stream to a scheduler and say what was not acknowledged."""
        self.stage = stage
        self.leaving = False
        held = [*self.given.values(), *(each for each, _ in self.unsaid.values())]
        self.hello(held)
        for _, result in list(self.unsaid.values()):
            self.say(result)

    def hear(self, message: stream.ConnectResponse) -> None:
        """Begin what it does not know yet; forget what is acknowledged or dropped."""
        super().hear(message)
        for each in message.run.assignments:
            attempt = (each.attempt.task_id, each.attempt.epoch)
            if attempt not in self.unsaid:
                self.given[attempt] = each
        for ref in message.done_ack.attempts:
            _, result = self.unsaid.pop((ref.task_id, ref.epoch), (None, None))
            self.old += [] if result is None else [result]
        for ref in message.welcome.drop:
            self.given.pop((ref.task_id, ref.epoch), None)
            self.unsaid.pop((ref.task_id, ref.epoch), None)

    def end(self, attempt: Attempt, result: stream.Result) -> None:
        """Tell how an attempt ended."""
        given = self.given.pop(attempt)
        result.attempt.CopyFrom(given.attempt)
        self.unsaid[attempt] = (given, result)
        self.say(result)

    def decline(self, attempt: Attempt, reason: str) -> None:
        """Refuse what was not begun."""
        given = self.given.pop(attempt)
        if reason == "UNKNOWN_KIND":
            self.refused_kinds.add(given.kind)
        self.stage.tell(events.Refused(self.session_id, *attempt, reason))


def plan(database: Database, operation_id: str, wanted: Sequence[TaskSpec]) -> stream.Succeeded:
    """Plan an operation from its rows: what is wanted; when a step failed, back; then the end."""
    rows = [each for each in database.tasks_of(operation_id) if not each.spec.is_plan]
    known = {each.spec.key for each in rows}
    is_open = any(each.state in OPEN for each in rows)
    if database.operations[operation_id].message.cancel_requested:
        return stream.Succeeded() if is_open else _end(Operation.STATE_CANCELLED)
    if any(each.state == Task.STATE_FAILED for each in rows):
        undo = [
            TaskSpec(key=f"undo/{each.spec.key}", kind="run", pool="cloud")
            for each in rows
            if each.state == Task.STATE_SUCCEEDED and not each.spec.key.startswith("undo/")
        ]
        spawn = [each for each in undo if each.key not in known]
        pending = [
            each.spec.key
            for each in rows
            if each.state in OPEN and not each.spec.key.startswith("undo/")
        ]
        if spawn or pending or is_open:
            return stream.Succeeded(spawn=spawn, unwanted=pending)
        return _end(Operation.STATE_FAILED)
    spawn = [each for each in wanted if each.key not in known]
    if spawn or is_open:
        return stream.Succeeded(spawn=spawn)
    return _end(Operation.STATE_SUCCEEDED)


def _end(state: Operation.State.ValueType) -> stream.Succeeded:
    outcome = stream.Succeeded()
    outcome.conclusion.state = state
    if state == Operation.STATE_FAILED:
        outcome.conclusion.failure.reason = "BROKEN"
    return outcome
