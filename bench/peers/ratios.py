"""The table of peers beside what Savanna did in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.tables import Table, times

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.peers.measure import Outcome


@dataclass(frozen=True)
class Reference:
    """What Savanna did."""

    rate: float
    """Tasks a second."""

    cpu: float
    """CPU seconds for 1,000 tasks."""


def table(outcomes: Sequence[Outcome], savanna: Mapping[str, Reference], database: str) -> Table:
    """Write down what peers did; ``savanna`` is what it did itself, by workload."""
    settings = dict.fromkeys(f"{each.peer.title}: {each.peer.setting}" for each in outcomes)
    problems = [each for each in outcomes if each.problem]
    made = Table(
        f"Other systems, beside Savanna on {database} in this run",
        ("system", "workload", "tasks", "s", "tasks/s", "Savanna's", "faster", "CPU s / 1,000",
         "Savanna's", "cheaper"),
        notes=(
            "faster, cheaper: so many times is Savanna; below 1 the other is",
            *settings,
            *(f"{_name(each)} {each.workload}: {each.problem}" for each in problems),
        ),
    )  # fmt: skip
    for each in outcomes:
        ours = savanna[each.workload]
        if each.problem:
            made.add(
                _name(each), each.workload, each.tasks, None, "see below", ours.rate, None, None,
                ours.cpu, None,
            )  # fmt: skip
            continue
        cpu = 1000 * each.cpu / each.tasks
        made.add(
            _name(each), each.workload, each.tasks, each.seconds, each.rate, ours.rate,
            times(ours.rate, each.rate), cpu, ours.cpu, times(cpu, ours.cpu),
        )  # fmt: skip
    return made


def _name(outcome: Outcome) -> str:
    return f"{outcome.peer.title} {outcome.peer.version}"
