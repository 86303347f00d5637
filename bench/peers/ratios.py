"""The table of peers beside what Savanna did in the same run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.tables import Table, times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.peers.measure import Outcome


@dataclass(frozen=True)
class Reference:
    """What Savanna did."""

    rate: float
    """Tasks a second."""

    cpu: float
    """CPU seconds for 1,000 tasks."""


def table(pairs: Sequence[tuple[Outcome, Reference]], database: str) -> Table:
    """Write down what peers did, each with what Savanna did right before."""
    peers = [outcome for outcome, _ in pairs]
    settings = dict.fromkeys(f"{each.peer.title}: {each.peer.setting}" for each in peers)
    problems = [each for each in peers if each.problem]
    made = Table(
        f"Other systems, each right after Savanna on {database}",
        ("system", "workload", "tasks", "s", "tasks/s", "Savanna's", "faster", "CPU s / 1,000",
         "Savanna's", "cheaper", "load"),
        notes=(
            "faster, cheaper: so many times is Savanna; below 1 the other is",
            *settings,
            *(f"{_name(each)} {each.workload}: {each.problem}" for each in problems),
        ),
    )  # fmt: skip
    for peer, savanna in pairs:
        made.add(_name(peer), peer.workload, peer.tasks, *_figures(peer, savanna), peer.load)
    return made


def _figures(peer: Outcome, savanna: Reference) -> tuple[str | float | None, ...]:
    if peer.problem:
        return None, "see below", savanna.rate, None, None, savanna.cpu, None
    cpu = 1000 * peer.cpu / peer.tasks
    return (
        peer.seconds,
        peer.rate,
        savanna.rate,
        times(savanna.rate, peer.rate),
        cpu,
        savanna.cpu,
        times(cpu, savanna.cpu),
    )


def _name(outcome: Outcome) -> str:
    return f"{outcome.peer.title} {outcome.peer.version}"
