"""What the scheduler was told to do: limits and times, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_kit.retry import Backoff

if TYPE_CHECKING:
    from savanna.operation.v1 import operation_pb2


@dataclass(frozen=True)
class Policy:
    """Limits and times of a scheduler."""

    lost_attempts: int = 3
    """A task that so many engines were lost with is given up: it may be what kills them."""

    interruptions: int = 10
    """A task during which all of Savanna died so often is given up: where that is one process, a
    step that kills it would otherwise do so for ever."""

    beat_share: float = 1 / 6
    """Engines beat so often in the time of a lease."""

    fence_share: float = 2 / 3
    """An engine that was not heard for this share of its lease stops its work: surely before others
    may start it."""

    look_again: float = 0.5
    """How soon to look again whether a silent session's lease is over."""

    offer_ttl: float = 3.0
    """Offers that lay longer than this are refused by engines."""

    least_wait: float = 0.05
    """A task that asks to be tried again sooner waits at least so long: nothing may spin."""

    distrust_accidents: int = 3
    """An engine that was lost so many times with different tasks in its hands is drained."""

    distrust_window: float = 600.0
    """Only accidents that are not longer ago count."""

    refused_wait: float = 0.1
    """How soon a refused task is offered again."""

    unserved_patience: float = 300.0
    """A task of a kind or a pool that no connected engine serves for so long is given up."""

    most_tasks: int = 100_000
    """An operation that asks for more tasks, plans among them, ends."""

    most_bytes: int = 40 * 2**20
    """An operation whose tasks are larger in all ends: one message must hold what is claimed."""

    most_plans: int = 5_000
    """An operation that was planned so often and is not done ends."""

    way_back: float = 1.2
    """An operation that is led back may be so many times as large: the way back has steps too."""

    commit_changes: int = 500
    """Most changes of one commit."""

    shared_commit_changes: int = 32
    """The same while several projects are busy: each waits for the commit that is under way, and
    for its own."""

    shared_seconds: float = 1.0
    """A project is busy for so long after a decision about one of its operations."""

    spawn_part: int = 200
    """Most tasks that are stored in one commit."""

    shared_spawn_part: int = 50
    """The same while several projects are busy."""

    looked_at: int = 500
    """New tasks that are looked at, some milliseconds long, before others have their turn."""

    commit_bytes: int = 8 * 2**20
    """A commit of so many bytes takes no further changes."""

    fault_rest: float = 1.0
    """How soon to try again to record the end of an operation that could not be stored; twice as
    long each time."""

    longest_rest: float = 300.0
    """The longest of these pauses."""

    remembered: int = 20_000
    """Tasks of ended operations whose results are still acknowledged, should they come again."""


def most_attempts(spec: operation_pb2.TaskSpec) -> int:
    """Give the number of tries that a task may take."""
    return spec.retry.max_attempts or 3


def retry_delay(spec: operation_pb2.TaskSpec, attempt: int, fraction: float) -> float:
    """Give the wait after the ``attempt``-th failed try, in seconds."""
    retry = spec.retry
    backoff = Backoff(
        initial=retry.initial_backoff.ToMilliseconds() / 1000 or 1.0,
        factor=retry.factor or 2.0,
        cap=retry.max_backoff.ToMilliseconds() / 1000 or 30.0,
    )
    return backoff.delay(attempt, fraction)
