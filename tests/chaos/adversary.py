"""What the adversary does, and when: a pure function of the seed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, TypeVar

from savanna_kit.crashes import POINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Name = TypeVar("Name", bound=str)

EVERYTHING = "everything"
DATABASE = "database"


class Kind(StrEnum):
    """Ways to strike."""

    KILL = "killed"
    CRASH = "killed at a crash point"
    FREEZE = "frozen"
    CUT = "connections cut"
    HANG = "connections half-open"
    DELAY = "connections held back"
    DATABASE = "database stopped at once"
    EVERYTHING = "all killed at once"


KILLS = frozenset({Kind.KILL, Kind.CRASH, Kind.DATABASE, Kind.EVERYTHING})
"""What counts as a kill; other blows come in addition."""


@dataclass(frozen=True)
class Blow:
    """One blow: who is struck how, and how long after the blow before it."""

    kind: Kind
    victim: str
    wait: float
    """Seconds after the last blow began, or for a calm one after all before it are over."""

    calm: bool
    """Whether everything that was struck serves again before it is waited for."""

    seconds: float = 0.0
    """How long the victim is away, frozen or cut off."""

    point: str = ""
    """Where it dies, and at which pass."""

    passes: int = 0

    def __str__(self) -> str:
        where = f" {self.point}:{self.passes}" if self.point else ""
        return f"{self.victim} {self.kind}{where}, for {self.seconds:.1f} s"


@dataclass(frozen=True)
class Targets:
    """Whom an adversary may strike, and how likely."""

    roles: Mapping[str, Sequence[str]]
    """Processes by role; a role's crash points begin with its name."""

    weights: Mapping[str, float]
    """How likely a role is struck."""

    kinds: Mapping[Kind, float]
    """How likely each way is."""

    lines: Sequence[str] = ()
    """Pieces of network."""

    lease: float = 6.0
    calm: float = 0.5
    """The share of blows that come when all is well."""

    pause: float = 2.0
    """The mean of the waits, in seconds."""


def schedule(seed: int, targets: Targets, kills: int) -> list[Blow]:
    """Give the blows of one round, with so many kills among them."""
    chance = Random(f"chaos {seed}")
    blows: list[Blow] = []
    left = kills
    for blow in _blows(chance, targets):
        blows.append(blow)
        left -= blow.kind in KILLS
        if left <= 0:
            break
    return blows


def _blows(chance: Random, targets: Targets) -> Iterator[Blow]:
    while True:
        kind = _chosen(chance, targets.kinds)
        wait = min(4 * targets.pause, chance.expovariate(1 / targets.pause))
        calm = chance.random() < targets.calm
        away = chance.choice((0.0, 0.0, 0.5, 2.0, 1.5 * targets.lease))
        role = _chosen(chance, targets.weights)
        victim = chance.choice(targets.roles[role])
        line = chance.choice(targets.lines) if targets.lines else ""
        point = chance.choice([each for each in POINTS if _is_of(each, role)])
        passes = chance.choice((1, 1, 1, 2, 3, 5, 10))
        hanging = chance.uniform(1.0, 1.5 * targets.lease)
        match kind:
            case Kind.KILL:
                yield Blow(kind, victim, wait, calm, away)
            case Kind.CRASH:
                yield Blow(kind, victim, wait, calm, point=point, passes=passes)
            case Kind.FREEZE:
                yield Blow(kind, victim, wait, calm, 1.5 * targets.lease)
            case Kind.CUT:
                yield Blow(kind, line, wait, calm)
            case Kind.HANG | Kind.DELAY:
                yield Blow(kind, line, wait, calm, hanging)
            case Kind.DATABASE:
                yield Blow(kind, DATABASE, wait, calm, min(away, 2.0))
            case Kind.EVERYTHING:
                yield Blow(kind, EVERYTHING, wait, calm)


def _chosen(chance: Random, weights: Mapping[Name, float]) -> Name:
    return chance.choices(list(weights), list(weights.values()))[0]


def _is_of(point: str, role: str) -> bool:
    """Say whether a process of a role passes a crash point; one that is all passes each."""
    return role == "all" or point.startswith(f"{role}.")
