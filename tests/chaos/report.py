"""What is printed of rounds: each in a line, those that broke a promise whole, and the sums."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Operation
from savanna_kit.crashes import POINTS
from tests.chaos.checker import Fault, given_up

if TYPE_CHECKING:
    from tests.chaos.recovery import Sample
    from tests.chaos.round import Outcome

SHOWN = 12
"""So many violations of a round are printed."""

_GIVEN_UP = "operations given up because three engines died of one task"


class Total:
    """The sums of rounds."""

    def __init__(self, mode: str, lease: float) -> None:
        self._mode = mode
        taken_over = lease + 2.0
        self._aims = {
            "api": 2.0,
            "conductor": 2.0,
            "engine": taken_over,
            "engine, frozen": taken_over,
            "scheduler": taken_over,
            "scheduler, frozen": taken_over,
        }
        self._rounds = 0
        self._faults: Counter[Fault] = Counter()
        self._met: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._samples: list[Sample] = []
        self._counts: Counter[str] = Counter()

    @property
    def is_broken(self) -> bool:
        """Whether any promise was broken."""
        return bool(self._faults)

    def add(self, outcome: Outcome) -> None:
        """Add a round."""
        self._rounds += 1
        self._faults.update(each.fault for each in outcome.violations)
        self._met.update(outcome.met)
        self._samples += outcome.samples
        self._counts["kills"] += outcome.kills
        self._counts["attempts"] += outcome.attempts
        self._counts["commands on hosts"] += outcome.runs
        self._counts["orphans swept"] += outcome.swept
        self._counts["operations given up, as one task was lost again and again"] += given_up(
            outcome.operations
        )
        for each in outcome.operations:
            goal, state = Operation.Goal.Name(each.goal), Operation.State.Name(each.state)
            self._ends[f"{goal[5:].lower()} {state[6:].lower()}"] += 1

    def tell(self, outcome: Outcome, *, whole: bool = False) -> str:
        """Give a round in a line, or its story; that of one that broke a promise, and how to play
        it again."""
        line = (
            f"seed {outcome.seed} ({outcome.cloud}): {outcome.kills} kills in"
            f" {outcome.seconds:.0f} s, {len(outcome.operations)} operations,"
            f" {outcome.attempts} attempts, {len(outcome.violations)} violations"
        )
        lines = [line]
        if whole or outcome.violations:
            lines += [f"  {each}" for each in outcome.story]
        if outcome.violations:
            lines += [f"  {_short(str(each))}" for each in outcome.violations[:SHOWN]]
            lines.append(f"  again: make chaos MODE={self._mode} SEED={outcome.seed}")
        return "\n".join(lines)

    def summary(self) -> str:
        """Give the sums."""
        lines = [
            "",
            f"{self._rounds} rounds, {_listed(self._counts)}",
            f"operations  {_listed(self._ends)}",
            f"blows       {_listed(Counter(self._blows()))}",
            f"crash at    {_listed(Counter(self._points()))}",
            "",
            *(f"{fault:<32} {self._faults[fault]}" for fault in Fault),
            "",
            "recovery, seconds            n    p50    p99    max   alone: n    p50    p99    aim",
            *self._recoveries(),
        ]
        return "\n".join(lines)

    def _blows(self) -> dict[str, int]:
        return {name: count for name, count in self._met.items() if name not in POINTS}

    def _points(self) -> dict[str, int]:
        return {name: count for name, count in self._met.items() if name in POINTS}

    def _recoveries(self) -> list[str]:
        by_role: dict[str, list[Sample]] = defaultdict(list)
        for each in self._samples:
            by_role[each.role].append(each)
        lines = []
        for role, samples in sorted(by_role.items()):
            times = [each.seconds for each in samples]
            alone = [each.seconds for each in samples if each.alone]
            aim = self._aims.get(role)
            lines.append(
                f"  {role:<24} {len(times):4} {_share(times, 0.5)} {_share(times, 0.99)}"
                f" {_share(times, 1.0)}       {len(alone):4} {_share(alone, 0.5)}"
                f" {_share(alone, 0.99)} {'' if aim is None else f'{aim:6.2f}'}".rstrip()
            )
        return lines


def _short(text: str) -> str:
    """Give a text in one line that can be read."""
    return " ".join(text.split())[:400]


def _share(values: list[float], share: float) -> str:
    """Give the value that this share of all does not exceed."""
    if not values:
        return "     -"
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, int(share * len(ordered)))]:6.2f}"


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.most_common()) or "none"
