"""One seed, or many: what ``make sim`` and the tests call."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from savanna.operation.v1.operation_pb2 import Operation
from tests.simulation.faults import Faults
from tests.simulation.world import World

_STORY_LINES = 60


@dataclass
class Report:
    """What happened in one seed, or in all."""

    events: int = 0
    seconds: float = 0.0
    """Virtual ones."""

    attempts: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """Operations, by how they ended."""

    met: Counter[str] = field(default_factory=Counter)
    """Faults, by kind."""

    violations: dict[int, str] = field(default_factory=dict)
    """What was found, by seed."""

    def add(self, other: Report) -> None:
        """Add another seed's."""
        self.events += other.events
        self.seconds += other.seconds
        self.attempts += other.attempts
        self.ends += other.ends
        self.met += other.met
        self.violations |= other.violations


def simulate(seed: int, faults: Faults | None = None, story: deque[str] | None = None) -> Report:
    """Run a seed to its end, or to the first promise that is broken."""
    world = World(seed, faults or Faults(), story)
    violations = {}
    try:
        world.run()
    except Exception as error:
        # A part that breaks down is as much of a finding as a promise that is broken.
        violations[seed] = str(error) or repr(error)
    operations = world.database.operations.values()
    ends = Counter(
        Operation.State.Name(each.message.state).removeprefix("STATE_").lower()
        for each in operations
        if each.is_over
    )
    return Report(world.events, world.now, world.checker.attempts, ends, world.met, violations)


def tell(seed: int, faults: Faults | None = None) -> list[str]:
    """Give the last lines of a seed's story."""
    story: deque[str] = deque(maxlen=_STORY_LINES)
    simulate(seed, faults, story)
    return list(story)
