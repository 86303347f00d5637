"""Why what is to be done is not being done: pure decisions over what is stored.

They follow the rules by which a scheduler hands out. What only a scheduler knows, such as an
acknowledgement on its way, is told by its metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.mesh.v1 import mesh_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store.transaction import timestamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Operation = operation_pb2.Operation
Task = operation_pb2.Task
Wait = mesh_pb2.Wait

FOR_OTHERS = frozenset(
    {
        Wait.REASON_NO_SCHEDULER,
        Wait.REASON_SCHEDULER_SILENT,
        Wait.REASON_NO_ENGINE,
        Wait.REASON_NO_SLOT,
        Wait.REASON_LIMIT,
        Wait.REASON_HAND_OUT,
    }
)
"""Waits of what lacks nothing of its own."""

READY = (
    Wait.REASON_NO_ENGINE,
    Wait.REASON_NO_SLOT,
    Wait.REASON_LIMIT,
    Wait.REASON_HAND_OUT,
)
"""Waits of tasks that lack nothing but an engine."""

_SOON = 5_000_000
"""Microseconds in which a hand-out surely happens; what lasts longer is strange."""


@dataclass(frozen=True)
class TaskFacts:
    """A task that has not ended.

    Times are microseconds, 0 for what has not happened.
    """

    spec: operation_pb2.TaskSpec
    state: Task.State.ValueType
    session_id: str
    failed_attempts: int
    not_before: int
    waiting_since: int
    created: int
    started: int


@dataclass(frozen=True)
class OperationFacts:
    """An operation that has not ended; ``succeeded`` are the ends of its tasks by key."""

    operation: Operation
    owner: str
    tasks: Sequence[TaskFacts] = ()
    succeeded: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SchedulerFacts:
    """A scheduler's lease."""

    lease_until: int
    is_alive: bool


@dataclass(frozen=True)
class SessionFacts:
    """An engine session; ``capacity`` is by pool, empty when it is not known."""

    engine_id: str
    lease_until: int
    is_alive: bool
    capacity: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class MeshFacts:
    """Who is there, and what is taken: of each session by scheduler, session and pool; of what is
    scarce by scheduler and key."""

    now: int
    schedulers: Mapping[str, SchedulerFacts]
    sessions: Mapping[str, SessionFacts]
    taken: Mapping[tuple[str, str, str], int]
    scarce: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def living_schedulers(self) -> int:
        """Count the schedulers whose lease goes on."""
        return sum(each.is_alive for each in self.schedulers.values())

    def part(self, whole: int) -> int:
        """Give one scheduler's part of what all of them share."""
        return max(1, whole // max(1, self.living_schedulers))


@dataclass(frozen=True)
class _Why:
    """A reason, and since and until when."""

    reason: Wait.Reason.ValueType
    message: str
    since: int
    until: int = 0


def waits_of(operation: OperationFacts, mesh: MeshFacts) -> list[Wait]:
    """Say what an operation waits for, one for each reason, the most telling first."""
    whole = _why_whole(operation, mesh)
    if whole is not None:
        return [_wait(operation, whole)]
    found: dict[tuple[int, str], list[tuple[_Why, TaskFacts]]] = {}
    for task in operation.tasks:
        why = _why_task(operation, task, mesh)
        if why is not None:
            pool = task.spec.pool if why.reason in READY else ""
            found.setdefault((why.reason, pool), []).append((why, task))
    return [_together(operation, found[key]) for key in sorted(found)]


def _wait(operation: OperationFacts, why: _Why) -> Wait:
    return Wait(
        reason=why.reason,
        message=why.message,
        since_time=timestamp(why.since),
        until_time=timestamp(why.until),
        operation_id=operation.operation.id,
        cluster_name=operation.operation.cluster_name,
    )


def _together(operation: OperationFacts, found: Sequence[tuple[_Why, TaskFacts]]) -> Wait:
    """Say of several tasks that wait for the same that they do; the one that waits longest is
    named."""
    why, task = min(found, key=lambda each: each[0].since)
    wait = _wait(operation, why)
    wait.tasks = len(found)
    wait.task_key = task.spec.key
    wait.title = task.spec.title
    wait.instance = task.spec.instance
    wait.pool = task.spec.pool
    return wait


def _why_whole(operation: OperationFacts, mesh: MeshFacts) -> _Why | None:
    """Say why nothing of an operation can be decided."""
    stored = operation.operation
    created = stored.create_time.ToMicroseconds()
    if stored.state == Operation.STATE_HELD:
        return _Why(Wait.REASON_HELD, stored.held_reason, created)
    others = mesh.living_schedulers
    if not operation.owner:
        message = "no scheduler has taken it yet" if others else "no scheduler is there: start one"
        ends = [each.lease_until for each in mesh.schedulers.values() if not each.is_alive]
        # What was begun had an owner, which has gone.
        gone = max(ends, default=0) if stored.state == Operation.STATE_RUNNING else 0
        return _Why(Wait.REASON_NO_SCHEDULER, message, max(created, gone))
    owner = mesh.schedulers.get(operation.owner)
    if owner is not None and owner.is_alive:
        return None
    since = created if owner is None else max(created, owner.lease_until)
    message = "its scheduler does not renew its lease"
    message += ": another one takes over" if others else ", and no other is there: start one"
    return _Why(Wait.REASON_SCHEDULER_SILENT, message, since)


def _why_task(operation: OperationFacts, task: TaskFacts, mesh: MeshFacts) -> _Why | None:
    """Say why a task is not being done; None when it is."""
    if task.state == Task.STATE_ASSIGNED:
        return _why_assigned(task, mesh)
    missing = [key for key in task.spec.needs if key not in operation.succeeded]
    if missing:
        return _Why(Wait.REASON_NEEDS, _needs(operation, missing), task.created)
    if task.not_before > mesh.now:
        return _why_later(task)
    if task.spec.is_plan and (message := _plan_waits(operation)):
        return _Why(Wait.REASON_PLAN, message, task.created)
    return _why_ready(operation, task, mesh)


def _why_assigned(task: TaskFacts, mesh: MeshFacts) -> _Why | None:
    session = mesh.sessions.get(task.session_id)
    if session is not None and session.is_alive:
        return None
    name = session.engine_id if session is not None else "its engine"
    since = session.lease_until if session is not None else task.started
    return _Why(Wait.REASON_ENGINE_SILENT, f"{name} is silent: it is taken back", since)


def _needs(operation: OperationFacts, missing: Sequence[str]) -> str:
    first = next((each for each in operation.tasks if each.spec.key == missing[0]), None)
    name = missing[0]
    if first is not None and first.spec.title:
        where = f" ({first.spec.instance})" if first.spec.instance else ""
        name = f"'{first.spec.title}'{where}"
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"needs {name}{more}"


def _why_later(task: TaskFacts) -> _Why:
    until = task.not_before
    if task.waiting_since:
        message = "answered 'not yet': it is asked again"
        return _Why(Wait.REASON_NOT_YET, message, task.waiting_since, until)
    if task.failed_attempts:
        message = f"failed {_times(task.failed_attempts)}: it is tried again"
        return _Why(Wait.REASON_RETRY, message, task.started, until)
    return _Why(Wait.REASON_HAND_OUT, "was given back: it is handed out again", task.started, until)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def _plan_waits(operation: OperationFacts) -> str:
    """Say what a plan waits for: plans run alone, one towards the end when nothing else runs."""
    out = [each for each in operation.tasks if each.state == Task.STATE_ASSIGNED]
    if operation.operation.cancel_requested and out:
        return "waits until what runs has stopped"
    return "waits for the plan under way" if any(each.spec.is_plan for each in out) else ""


def _why_ready(operation: OperationFacts, task: TaskFacts, mesh: MeshFacts) -> _Why:
    ends = (operation.succeeded[key] for key in task.spec.needs)
    since = max(task.created, task.not_before, *ends)
    pool = task.spec.pool
    living = {key: each for key, each in mesh.sessions.items() if each.is_alive}
    able = {key: each for key, each in living.items() if not each.capacity or pool in each.capacity}
    if not able:
        message = f"no engine has {pool} slots: start one"
        return _Why(Wait.REASON_NO_ENGINE, message, since)
    if not _is_free(operation.owner, pool, able, mesh):
        slots = sum(each.capacity[pool] for each in able.values())
        return _Why(Wait.REASON_NO_SLOT, f"all {slots} {pool} slots are taken", since)
    for key, limit in sorted(task.spec.limits.items()):
        if mesh.scarce.get((operation.owner, key), 0) >= mesh.part(limit):
            return _Why(Wait.REASON_LIMIT, f"all {limit} of {key} are taken", since)
    message = "about to be handed out"
    if mesh.now - since > _SOON:
        message = "slots are free, and yet it is not handed out: the log of its scheduler says why"
    return _Why(Wait.REASON_HAND_OUT, message, since)


def _is_free(
    scheduler_id: str, pool: str, able: Mapping[str, SessionFacts], mesh: MeshFacts
) -> bool:
    """Say whether a scheduler may hand out more; engines split their slots between schedulers."""
    for session_id, session in able.items():
        if not session.capacity:
            return True
        taken = mesh.taken.get((scheduler_id, session_id, pool), 0)
        if taken < mesh.part(session.capacity[pool]):
            return True
    return False


def oldest(found: Iterable[Wait]) -> Wait | None:
    """Choose what waits longest: of what lacks nothing of its own, or else of everything."""
    every = list(found)
    ready = [each for each in every if each.reason in FOR_OTHERS]
    return min(ready or every, key=lambda each: each.since_time.ToMicroseconds(), default=None)
