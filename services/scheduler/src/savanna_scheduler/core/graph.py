"""An operation in memory: its tasks, what each waits for, and when a plan is due."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from savanna.scheduler.v1 import scheduler_service_pb2 as stream

Task = operation_pb2.Task


class Phase(StrEnum):
    """Where a task is, as its scheduler sees it."""

    WAITING = "waiting"
    """For needs or for its time."""

    READY = "ready"
    """For an engine."""

    ASSIGNING = "assigning"
    """Its hand-out is being recorded."""

    ASSIGNED = "assigned"
    """In the hands of an engine."""

    ENDED = "ended"
    """Succeeded, failed or skipped."""


_NO_LIMITS: Mapping[str, int] = MappingProxyType({})
_UNASSIGNED = (Phase.WAITING, Phase.READY)
_OUT = (Phase.ASSIGNING, Phase.ASSIGNED)
_ENDED = (Task.STATE_SUCCEEDED, Task.STATE_FAILED, Task.STATE_SKIPPED)


@dataclass(eq=False)
class TaskNode:
    """A task of an operation."""

    id: str
    spec: operation_pb2.TaskSpec
    graph: OperationGraph
    phase: Phase = Phase.WAITING
    epoch: int = 0
    session_id: str = ""
    failed: int = 0
    lost: int = 0
    interruptions: int = 0
    """How often all of Savanna died with it."""

    missing: int = 0
    """Needs that have not succeeded."""

    ready_at: float = 0.0
    """Since when it lacks nothing but an engine."""

    not_before: float = 0.0
    alarm: float = 0.0
    """The time at which it was last arranged to be woken."""

    limits: Mapping[str, int] = field(default_factory=dict)
    """What is scarce and it takes one of, with the number of tasks that may hold it at once."""

    waiting_since: float | None = None
    """When it first answered "not yet"."""

    unwanted: bool = False
    """Nobody waits for its result: it is being stopped, and ends skipped."""

    @property
    def attempt(self) -> tuple[str, int]:
        """Name its attempt."""
        return self.id, self.epoch

    @property
    def label(self) -> str:
        """Give what users call it."""
        return self.spec.title or self.spec.key

    @property
    def is_open(self) -> bool:
        """Say whether it has not ended."""
        return self.phase is not Phase.ENDED

    @property
    def is_idle(self) -> bool:
        """Say whether no engine has it or is being given it."""
        return self.phase in _UNASSIGNED

    @property
    def is_out(self) -> bool:
        """Say whether an engine has it or is being given it."""
        return self.phase in _OUT


@dataclass(frozen=True)
class Ending:
    """How an operation is to end, once nothing of it runs any more."""

    state: operation_pb2.Operation.State.ValueType
    failure: operation_pb2.Failure | None = None
    plan: TaskNode | None = None
    """The plan that said so; its result is recorded together with the end."""

    result: stream.Succeeded | None = None


@dataclass(eq=False)
class OperationGraph:
    """An operation and its tasks."""

    operation: operation_pb2.Operation
    project_id: str = field(init=False)
    tasks: dict[str, TaskNode] = field(default_factory=dict)
    """By key."""

    succeeded: set[str] = field(default_factory=set)
    """Keys."""

    dependents: dict[str, list[TaskNode]] = field(default_factory=lambda: defaultdict(list))
    """Tasks that need a key."""

    open_tasks: int = 0
    assigned: int = 0
    """Tasks, plans among them, that engines have or are being given."""

    size: int = 0
    """Bytes of all tasks as they are asked for."""

    plans: int = 0
    plan_spec: operation_pb2.TaskSpec | None = None
    plan_asked: bool = False
    """The next plan is being stored."""

    replan_at: float | None = None
    """When it is planned again in any case."""

    is_spawning: bool = False
    """What a plan asked for is being stored; until all of it is, no other plan runs."""

    has_news: bool = True
    """Something happened since the last plan was handed out that it may not know of."""

    ending: Ending | None = None
    """Set: nothing more is handed out."""

    is_over: bool = False
    """Its end is being recorded: nothing more may be decided about it."""

    faults: int = 0
    """How often something of it could not be stored."""

    rests_until: float = 0.0
    """Before this time its end is not recorded: that could not be stored either."""

    refused: list[TaskNode] = field(default_factory=list)
    """Tasks whose results the conductor would not take; their engines hear of it at the end."""

    def __post_init__(self) -> None:
        self.project_id = self.operation.project_id

    @property
    def id(self) -> str:
        """Give the operation's id."""
        return self.operation.id

    def add(self, task: Task, offset: float = 0.0) -> TaskNode:
        """Add a stored task; ``offset`` turns seconds of the day into monotonic ones."""
        node = TaskNode(
            task.id,
            task.spec,
            self,
            epoch=task.epoch,
            session_id=task.session_id,
            failed=task.failed_attempts,
            lost=task.lost_attempts,
            interruptions=task.interruptions,
            limits=dict(limits) if (limits := task.spec.limits) else _NO_LIMITS,
        )
        if task.HasField("not_before_time"):
            node.not_before = offset + task.not_before_time.ToMilliseconds() / 1000
        if task.HasField("waiting_since_time"):
            node.waiting_since = offset + task.waiting_since_time.ToMilliseconds() / 1000
        self.tasks[task.spec.key] = node
        self.size += task.spec.ByteSize()
        if task.spec.is_plan:
            self.plans += 1
            self.plan_spec = self.plan_spec or task.spec
        if task.state == Task.STATE_SUCCEEDED:
            self.succeeded.add(task.spec.key)
        if task.state in _ENDED:
            node.phase = Phase.ENDED
            return node
        self.open_tasks += 1
        if task.state == Task.STATE_ASSIGNED:
            node.phase = Phase.ASSIGNED
            self.assigned += 1
        return node

    def link(self, nodes: Iterable[TaskNode]) -> list[TaskNode]:
        """Count what added tasks wait for, once all of them are known; gives those that can never
        run."""
        hopeless = []
        for node in nodes:
            if not node.is_open:
                continue
            for need in node.spec.needs:
                if need in self.succeeded:
                    continue
                node.missing += 1
                self.dependents[need].append(node)
                if need not in self.tasks or not self.tasks[need].is_open:
                    hopeless.append(node)
        return hopeless

    def put_back(self, node: TaskNode) -> None:
        """Take a task out of an engine's hands; it is still to be done."""
        node.phase = Phase.WAITING
        self.assigned -= 1
        self.has_news |= not node.spec.is_plan

    def end(self, node: TaskNode, *, succeeded: bool) -> list[TaskNode]:
        """End a task; gives those that now wait for nothing."""
        if node.is_out:
            self.assigned -= 1
        node.phase = Phase.ENDED
        self.open_tasks -= 1
        self.has_news |= not node.spec.is_plan
        if not succeeded:
            return []
        self.succeeded.add(node.spec.key)
        freed = []
        for dependent in self.dependents.pop(node.spec.key, ()):
            dependent.missing -= 1
            if dependent.missing == 0 and dependent.phase is Phase.WAITING:
                freed.append(dependent)
        return freed

    def doomed(self, node: TaskNode) -> list[TaskNode]:
        """List everything that can never run because a task did not succeed."""
        found: list[TaskNode] = []
        seen: set[str] = set()
        keys = [node.spec.key]
        while keys:
            for dependent in self.dependents.get(keys.pop(), ()):
                key = dependent.spec.key
                if dependent.is_open and key not in seen:
                    seen.add(key)
                    found.append(dependent)
                    keys.append(key)
        return found

    def may_run(self, node: TaskNode) -> bool:
        """Say whether nothing but its time and an engine is missing.

        Plans run alone; a plan towards the end waits for what runs.
        """
        if self.ending is not None or node.missing or not node.is_idle:
            return False
        if not node.spec.is_plan:
            return True
        if self.operation.cancel_requested:
            return self.assigned == 0 and not self.is_spawning
        return not self.is_spawning and not any(each.is_out for each in self._open_plans())

    def pending_plans(self) -> list[TaskNode]:
        """List the plans that wait to be handed out: two when one that was out came back."""
        return [each for each in self._open_plans() if each.is_idle]

    def next_plan(self) -> operation_pb2.TaskSpec | None:
        """Give the next plan to store, a copy of the first; None while one waits already."""
        if self.plan_spec is None or self.plan_asked or self.pending_plans():
            return None
        spec = operation_pb2.TaskSpec()
        spec.CopyFrom(self.plan_spec)
        spec.key = f"plan/{self.plans + 1}"
        return spec

    @property
    def has_open_plan(self) -> bool:
        """Say whether a plan waits or is out; without one, whoever takes the operation over plans:
        the former owner may have meant to do so after a while."""
        return any(True for _ in self._open_plans())

    def _open_plans(self) -> Iterator[TaskNode]:
        # At most one plan is out and one waits, so that the last ones are the open ones.
        for number in range(self.plans, max(0, self.plans - 3), -1):
            node = self.tasks.get(f"plan/{number}")
            if node is not None and node.is_open:
                yield node
