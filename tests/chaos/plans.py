"""What a round is made of: processes, the addresses between them, and whom it hurts."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from savanna_all_in_one.mesh import MeshPlan
from tests.chaos.adversary import DATABASE, Kind, Targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ALL = "all"


@dataclass(frozen=True)
class ChaosPlan(MeshPlan):
    """A mesh that is made to be hurt."""

    lease: float = 6.0
    """Seconds of the leases of engines and schedulers."""

    pause: float = 2.0
    """The mean of the waits between blows, in seconds."""

    direct_url: str = ""
    """The database for those who only look, whatever happens to the way of conductors."""

    plugins: tuple[str, ...] = ("fake",)
    sweeps: bool = False
    """Whether engines look for servers that belong to nobody all the time, however young these are,
    and remove them: what they take wrongly is missed by users."""

    @property
    def delays(self) -> Sequence[int]:
        """Give the milliseconds that a step may take: some are longer than a lease, and outlive
        their engine."""
        return (0, 0, 200, 500, 1500, int(1500 * self.lease))

    @property
    def attempt_log(self) -> str:
        """Say where engines tell of their attempts."""
        return str(self.folder / "attempts.log")

    def doors(self) -> Sequence[str]:
        """List the addresses that users may call, each with all doors, another one first."""
        return [self.grpc]

    def line(self, name: str) -> str:
        """Say where others reach a service."""
        return self.address(name)

    def targets(self) -> Targets:
        """Say whom an adversary may strike."""
        raise NotImplementedError

    def _engines(self) -> dict[str, str]:
        told = {"SAVANNA_ENGINE_ATTEMPT_LOG": self.attempt_log}
        if self.sweeps:
            told |= {
                "SAVANNA_ENGINE_SWEEP_INTERVAL_SECONDS": "1",
                "SAVANNA_ENGINE_ORPHAN_GRACE_SECONDS": "0",
                "SAVANNA_ENGINE_SWEEP_CLEAN": "5",
            }
        return told

    def _leases(self) -> dict[str, str]:
        return {
            "SAVANNA_CONDUCTOR_ENGINE_LEASE_SECONDS": str(self.lease),
            "SAVANNA_CONDUCTOR_SCHEDULER_LEASE_SECONDS": str(self.lease),
        }


@dataclass(frozen=True)
class AlonePlan(ChaosPlan):
    """``savanna-all`` on SQLite; the simulated cloud is another process, as clouds are."""

    @property
    def delays(self) -> Sequence[int]:
        """Give milliseconds that leave a step a chance to be done between two deaths of all; one
        that outlives a lease would be given up after ten of them."""
        return (0, 0, 200, 500, int(500 * self.pause))

    def names(self) -> list[str]:
        """List the processes, in the order in which they are started."""
        return [*(["simulator"] if self.cloud == "simulated" else []), ALL]

    def address(self, name: str) -> str:
        """Say where a service is reached."""
        return self.grpc if name == ALL else super().address(name)

    def environment(self, name: str) -> dict[str, str]:
        """Give the settings of one process, as variables."""
        if name != ALL:
            return super().environment(name)
        return {
            "SAVANNA_ALL_DATA_DIR": str(self.folder),
            "SAVANNA_ALL_REST": self.rest,
            "SAVANNA_ALL_GRPC": self.grpc,
            "SAVANNA_ALL_CLOUD": self.cloud,
            "SAVANNA_ALL_SIMULATOR": self.address("simulator"),
            **self._engines(),
            **self._leases(),
        }

    def targets(self) -> Targets:
        """Kill the whole again and again."""
        return Targets(
            roles={ALL: [ALL]},
            weights={ALL: 1.0},
            kinds={Kind.KILL: 0.65, Kind.CRASH: 0.35},
            # It waits for no lease: being away for longer than one hurts nobody more.
            lease=1.0,
            calm=0.75,
            pause=self.pause,
        )


@dataclass(frozen=True)
class PeersPlan(ChaosPlan):
    """Two gateways, two conductors, two schedulers and three engines, on PostgreSQL.

    Everybody reaches the others on lines that can be cut; engines find schedulers where these say
    that they are.
    """

    ports: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By name: where a process listens, and where the line to it begins."""

    PEERS: ClassVar[Mapping[str, int]] = {"conductor": 2, "scheduler": 2, "engine": 3, "api": 2}
    LINES: ClassVar[Sequence[str]] = (
        "conductor-1",
        "conductor-2",
        "scheduler-1",
        "scheduler-2",
        "api-1",
        "api-2",
    )

    def names(self) -> list[str]:
        """List the processes, in the order in which they are started."""
        return [
            *(["simulator"] if self.cloud == "simulated" else []),
            "plugin-fake",
            *(f"{kind}-{each}" for kind, count in self.PEERS.items() for each in _up_to(count)),
        ]

    def address(self, name: str) -> str:
        """Say where a service listens."""
        return f"127.0.0.1:{self.ports[name][0]}" if name in self.ports else super().address(name)

    def line(self, name: str) -> str:
        """Say where the line to a service begins."""
        return f"127.0.0.1:{self.ports[name][1]}" if name in self.ports else self.address(name)

    def doors(self) -> Sequence[str]:
        """List both gateways, once from each side."""
        return [self._either("api", first) for first in (1, 2)]

    def environment(self, name: str) -> dict[str, str]:
        """Give the settings of one process, as variables."""
        role = role_of(name)
        number = int(name[-1]) if name[-1].isdigit() else 1
        conductor = self._either("conductor", 1 + number % 2)
        more = {
            "conductor": self._leases(),
            "scheduler": {
                "SAVANNA_SCHEDULER_CONDUCTOR": conductor,
                "SAVANNA_SCHEDULER_ADVERTISE": self.line(name),
            },
            "engine": {
                "SAVANNA_ENGINE_CONDUCTOR": conductor,
                **self._engines(),
            },
            "api": {
                "SAVANNA_API_LISTEN": self.address(name),
                "SAVANNA_API_CONDUCTOR": conductor,
                "SAVANNA_API_ENGINES": json.dumps(
                    [self.address(f"engine-{each}") for each in _up_to(self.PEERS["engine"])]
                ),
            },
        }
        return {**super().environment(name), **more.get(role, {})}

    def targets(self) -> Targets:
        """Strike whomever, in every way."""
        roles: dict[str, list[str]] = defaultdict(list)
        for name in self.names():
            if name != "simulator":
                roles[role_of(name)].append(name)
        return Targets(
            roles=roles,
            weights={"api": 2, "conductor": 2, "scheduler": 3, "engine": 4, "plugin": 1},
            kinds={
                Kind.KILL: 0.40,
                Kind.CRASH: 0.27,
                Kind.FREEZE: 0.12,
                Kind.CUT: 0.06,
                Kind.HANG: 0.04,
                Kind.DELAY: 0.04,
                Kind.DATABASE: 0.05,
                Kind.EVERYTHING: 0.02,
            },
            lines=[*self.LINES, DATABASE],
            lease=self.lease,
            pause=self.pause,
        )

    def _either(self, kind: str, first: int) -> str:
        """Give the lines to both, one of them first, in a way that gRPC goes to the other when one
        does not answer."""
        return "ipv4:" + ",".join(self.line(f"{kind}-{each}") for each in (first, 3 - first))


def role_of(name: str) -> str:
    """Give the role of a process: its name without what tells it from its peers."""
    return name.partition("-")[0]


def _up_to(count: int) -> range:
    return range(1, count + 1)
