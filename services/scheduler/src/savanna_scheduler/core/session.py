"""An engine's session as this scheduler sees it: its stream, its credit, its work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from savanna.scheduler.v1 import scheduler_service_pb2 as frames
    from savanna_scheduler.core.task import Ref, Task

MAX_UNCLAIMED = 4096
"""Results of operations that this scheduler does not own (yet) that it keeps for a session."""


@dataclass(slots=True, eq=False)
class Session:
    """One life of an engine. It may be known before it is met: a claimed operation names who has its tasks."""

    id: str
    engine_id: str = ""
    stream: int | None = None
    welcomed: bool = False
    leaving: bool = False
    over: bool = False
    """Its lease has ended in the database; that never changes again."""
    lease_until: float = 0.0
    """Monotonic seconds; a guess that is never too early, the database decides."""
    slots: dict[str, int] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    """Tasks that it has, of operations that this scheduler owns."""
    running: set[Ref] = field(default_factory=set)
    """What it said last that it works on, for any scheduler."""
    unclaimed: dict[Ref, frames.Result] = field(default_factory=dict)
    watched: bool = False
    """Whether a timer waits for the end of its lease."""
    newest_beat: int = 0
    unacknowledged_beat: int = 0

    @property
    def usable(self) -> bool:
        """Whether it can be given work."""
        return (
            self.stream is not None and self.welcomed and not (self.leaving or self.over)
        )

    def free(self, pool: str) -> int:
        """Give how many more tasks of a pool it takes."""
        if not self.usable:
            return 0
        return self.slots.get(pool, 0) - self.held.get(pool, 0)

    def take(self, task: Task) -> None:
        """Count a task as its work."""
        if task.id not in self.tasks:
            self.tasks[task.id] = task
            self.held[task.pool] = self.held.get(task.pool, 0) + 1

    def drop(self, task: Task) -> None:
        """Count a task as its work no more."""
        if self.tasks.pop(task.id, None) is not None:
            self.held[task.pool] -= 1

    def keep_unclaimed(self, result: frames.Result) -> None:
        """Keep a result whose operation is not owned here, in case that it is claimed soon."""
        if len(self.unclaimed) < MAX_UNCLAIMED:
            self.unclaimed[result.attempt.task_id, result.attempt.epoch] = result
