"""A task as the scheduler sees it: the row in the database, and what is known of its running attempt."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savanna.operation.v1 import operation_pb2
    from savanna_scheduler.core.operation import Operation
    from savanna_scheduler.core.session import Session

Ref = tuple[str, int]
"""An attempt: task and epoch."""


class State(StrEnum):
    """How far a task is."""

    PENDING = "pending"
    ASSIGNED = "assigned"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class Stop(StrEnum):
    """Why a running attempt was asked to stop."""

    UNWANTED = "unwanted"
    TIMED_OUT = "timed_out"


@dataclass(slots=True, eq=False)
class Attempt:
    """The running attempt of a task: only what the stream knows; lost with the process and found again by Hello."""

    since: float
    sent: bool = False
    accepted: bool = False
    reported: bool = False
    """A result has arrived and waits to be decided on."""
    stop: Stop | None = None


@dataclass(slots=True, eq=False)
class Task:
    """One node of an operation's graph."""

    id: str
    operation: Operation
    spec: operation_pb2.TaskSpec
    key: str
    pool: str
    is_plan: bool
    priority: int
    state: State = State.PENDING
    epoch: int = 0
    session: Session | None = None
    failed: int = 0
    lost: int = 0
    not_before: float = 0.0
    waiting_since: float | None = None
    open_needs: int = 0
    """Needs that have not succeeded; zero means that it can run."""
    dependents: list[Task] = field(default_factory=list)
    height: int = 1
    """Tasks on the longest path from this one to an end; long ones go first."""
    queued: bool = False
    attempt: Attempt | None = None

    @property
    def ref(self) -> Ref:
        """The current attempt."""
        return self.id, self.epoch

    @property
    def is_open(self) -> bool:
        """Whether it may still run or is running."""
        return self.state is State.PENDING or self.state is State.ASSIGNED


@dataclass(frozen=True, slots=True)
class Row:
    """The part of a task that is in the database and changes; kept to take back what the database did not accept."""

    state: State
    epoch: int
    session: Session | None
    failed: int
    lost: int
    not_before: float
    waiting_since: float | None
    attempt: Attempt | None


def row_of(task: Task) -> Row:
    """Remember how a task stands."""
    return Row(
        task.state,
        task.epoch,
        task.session,
        task.failed,
        task.lost,
        task.not_before,
        task.waiting_since,
        task.attempt,
    )
