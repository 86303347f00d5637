"""Rounds by mode: which plan a seed is played on."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.chaos.database import Database
from tests.chaos.plans import AlonePlan, PeersPlan
from tests.chaos.round import play
from tests.e2e.meshes import free_port

if TYPE_CHECKING:
    from tests.chaos.round import Outcome

MODES = ("postgresql", "sqlite")


@dataclass(frozen=True)
class Pace:
    """How fast everything goes, in seconds."""

    lease: float
    pause: float
    """Between blows, in the mean."""


PACES = {"postgresql": Pace(lease=6.0, pause=2.0), "sqlite": Pace(lease=6.0, pause=2.0)}
"""One process alone goes on as soon as it serves again, whatever leases its last life had. But it
must live long enough to do something: else each step dies with it ten times, and is given up."""


async def one_round(
    mode: str,
    seed: int,
    kills: int,
    *,
    pace: Pace | None = None,
    cloud: str = "",
    keep: Path | None = None,
) -> Outcome:
    """Play the round of a seed in folders of its own, of which nothing is left.

    Every fourth seed has hosts on this machine, the others have simulated ones. With odd seeds
    engines sweep.
    """
    pace = pace or PACES[mode]
    with ExitStack() as stack:
        place = tempfile.TemporaryDirectory(prefix="savanna-chaos-")
        path = Path(stack.enter_context(place))
        if keep is not None:
            stack.callback(_copy, path / "data", keep / f"{mode}-{seed}")
        both: dict[str, Any] = {
            "folder": path / "data",
            "sockets": path,
            "cloud": cloud or ("local" if seed % 4 == 3 else "simulated"),
            "lease": pace.lease,
            "pause": pace.pause,
            "rest": "127.0.0.1:0",
            "sweeps": seed % 2 == 1,
        }
        if mode == "sqlite":
            url = f"sqlite:///{path}/data/savanna.db"
            alone = AlonePlan(database_url=url, grpc=f"127.0.0.1:{free_port()}", **both)
            return await play(alone, seed, kills)
        database = Database(path / "postgresql", path)
        stack.callback(database.close)
        plan = PeersPlan(
            database_url=database.url,
            direct_url=database.direct_url,
            ports={each: (free_port(), free_port()) for each in PeersPlan.LINES},
            **both,
        )
        return await play(plan, seed, kills, database)


def _copy(folder: Path, kept: Path) -> None:
    """Keep logs; sockets can not be copied, and are worth nothing."""
    if folder.exists():
        shutil.copytree(folder, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("sockets"))
