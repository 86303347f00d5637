"""What was seen of a round: by users, by engines, by hosts, by the cloud and by the journal."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import JournalEntry, Operation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Entry = JournalEntry

_COMPLAINTS = ('"level": "error"', '"level": "critical"', "Traceback", "never retrieved")


@dataclass
class Attempt:
    """One try of a task, as its engine told it; times are those of the wall."""

    task: str
    epoch: int
    session: str
    engine: str
    process: int
    begin: float
    stop: float | None = None
    end: float | None = None
    outcome: str = ""
    operation: str = ""
    key: str = ""

    def __str__(self) -> str:
        return f"{self.key or self.task} epoch {self.epoch} on {self.engine}"


@dataclass(frozen=True)
class Run:
    """A command on a host, as the host tells it; begin and end are places in one order, or times.

    An end of None means that it has not ended.
    """

    host: str
    operation: str
    key: str
    epoch: int
    begin: float
    end: float | None
    succeeded: bool = False


@dataclass(frozen=True)
class Promise:
    """Something that Savanna said it would do; what it must come to is told by ``wanted``."""

    operation: str
    cluster: str
    goal: str
    wanted: frozenset[int]


@dataclass
class History:
    """All of it."""

    attempts: list[Attempt] = field(default_factory=list)
    deaths: Mapping[int, float] = field(default_factory=dict)
    """When processes were killed, by process id."""

    freezes: Mapping[int, list[tuple[float, float]]] = field(default_factory=dict)
    """When processes were stopped and went on, by process id."""

    grace: float = 1.7
    """Seconds that an engine has to stop, at least, before its lease is over."""

    journal: list[Entry] = field(default_factory=list)
    followed: list[Entry] = field(default_factory=list)
    """The journal as it was told to one who watched all the time."""

    runs: list[Run] = field(default_factory=list)
    hosts_told_all: bool = True
    """Whether every command is among them."""

    promises: list[Promise] = field(default_factory=list)
    operations: dict[str, Operation] = field(default_factory=dict)
    """All that the conductor has in the end, by id."""

    complaints: list[str] = field(default_factory=list)
    """What users saw that they must not see; the first word is the kind of fault."""

    errors: list[str] = field(default_factory=list)
    """What processes logged as errors, which no blow excuses."""

    swept: list[tuple[str, float]] = field(default_factory=list)
    """Clusters of servers that engines removed as orphans, and when."""

    left: list[str] = field(default_factory=list)
    """What the cloud still has when every cluster is deleted."""


def read_attempts(lines: Iterable[str]) -> list[Attempt]:
    """Read what engines told, in the order of the begins.

    An attempt that began twice is there twice. A line that was cut off by a kill is the last one of
    its process, and tells nothing.
    """
    found: list[Attempt] = []
    latest: dict[tuple[str, str, int], Attempt] = {}
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        name = (told["session"], told["task"], told["epoch"])
        if told["what"] == "begin":
            attempt = Attempt(
                task=told["task"],
                epoch=told["epoch"],
                session=told["session"],
                engine=told["engine"],
                process=told["process"],
                begin=told["time"],
                operation=told["operation"],
                key=told["key"],
            )
            latest[name] = attempt
            found.append(attempt)
        elif told["what"] == "stop":
            latest[name].stop = told["time"]
        else:
            latest[name].end = told["time"]
            latest[name].outcome = told["outcome"]
    return sorted(found, key=lambda each: each.begin)


def read_swept(lines: Iterable[str]) -> list[tuple[str, float]]:
    """Give the clusters of servers that were removed as orphans, and when."""
    told = [json.loads(line) for line in lines if '"event": "orphan_cleaned"' in line]
    return [
        (each["cluster_id"], datetime.fromisoformat(each["timestamp"]).timestamp()) for each in told
    ]


def read_errors(lines: Iterable[str]) -> list[str]:
    """Give the errors among the lines of a log, and whatever Python itself complained of."""
    return [line[:600] for line in lines if any(each in line for each in _COMPLAINTS)]


def by_task(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Put the attempts of each task together, in the order of their begins."""
    found: dict[str, list[Attempt]] = defaultdict(list)
    for each in attempts:
        found[each.task].append(each)
    return found
