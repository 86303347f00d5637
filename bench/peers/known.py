"""The systems that are measured, and how each is set up, in words for the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """A system: its script is the module ``script``."""

    title: str
    requirements: Path
    script: str
    setting: str
    sizes: dict[str, int]
    """Tasks of each workload: fewer where more would take minutes."""

    needs_database: bool = False

    @property
    def name(self) -> str:
        """Its name on the command line."""
        return self.script.rpartition(".")[2]

    @property
    def version(self) -> str:
        """The version of the first package that it requires."""
        pinned = re.search("==(.+)", self.requirements.read_text())
        return pinned.group(1) if pinned else ""


def _peer(
    name: str, title: str, setting: str, *, fan: int, chain: int, needs_database: bool = True
) -> Peer:
    return Peer(
        title,
        _FOLDER / f"requirements-{name}.txt",
        f"bench.peers.{name}",
        setting,
        {"W1": fan, "W3": chain},
        needs_database,
    )


PEERS = (
    _peer(
        "celery",
        "Celery",
        "Redis, its file synced once a second; a worker of 2 processes acknowledges what is done; "
        "no results but that of a chain's last",
        fan=10_000,
        chain=1_000,
        needs_database=False,
    ),
    _peer(
        "dask",
        "Dask",
        "nothing is durable; scheduler and 2 workers",
        fan=10_000,
        chain=1_000,
        needs_database=False,
    ),
    _peer(
        "procrastinate",
        "Procrastinate",
        "PostgreSQL; 2 workers, each with 10 jobs at once; a step of the chain defers the next",
        fan=10_000,
        chain=1_000,
    ),
    _peer(
        "dbos",
        "DBOS",
        "PostgreSQL; W1: 2 processes take steps from a queue, each up to 100 at once; "
        "W3: steps of one workflow in one process",
        fan=2_000,
        chain=1_000,
    ),
    _peer(
        "taskflow",
        "TaskFlow",
        "PostgreSQL; one process with 2 threads; setting up grows with the square of the tasks",
        fan=500,
        chain=200,
    ),
)


def chosen(names: list[str]) -> list[Peer]:
    """Find peers by name; "1" stands for all.

    Raises ``ValueError`` for a name that is not known.
    """
    known = {each.name: each for each in PEERS}
    if names == ["1"]:
        return list(PEERS)
    for name in names:
        if name not in known:
            raise ValueError(
                f"{name} is not known: PEERS is 1 for all, or some of {', '.join(known)}"
            )
    return [known[name] for name in names]
