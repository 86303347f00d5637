"""The cloud and its hosts as they themselves tell: what there is, and what ran there."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote

from savanna.simulator.v1 import simulator_service_pb2_grpc
from savanna.simulator.v1.simulator_service_pb2 import ListCommandsRequest, ListServersRequest
from savanna_kit.channels import connect
from tests.chaos.history import Run
from tests.e2e.leftovers import Trail

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOOK_SECONDS = 0.3
_TICK = 0.03
"""Seconds by which begin and end of a command, as hosts write them down, may be wrong."""


class SeenCloud(Protocol):
    """A cloud, looked at from outside."""

    tells_all: bool
    """Whether every command that was run can be told."""

    async def watch(self) -> None:
        """Look, for ever, at what does not stay to be seen in the end."""

    async def servers(self, cluster_id: str) -> Sequence[str]:
        """List what there is of a cluster."""

    async def runs(self) -> list[Run]:
        """List what was run on hosts."""

    async def left(self) -> list[str]:
        """List everything that there is."""


class SeenSimulator:
    """The simulator, which remembers everything."""

    tells_all = True

    def __init__(self, address: str) -> None:
        self._address = address

    async def watch(self) -> None:
        """Do nothing."""

    async def servers(self, cluster_id: str) -> Sequence[str]:
        """List the names of servers."""
        wanted = {"savanna_cluster": cluster_id} if cluster_id else {}
        async with connect(self._address) as channel:
            stub = simulator_service_pb2_grpc.SimulatedCloudServiceStub(channel)
            answer = await stub.ListServers(ListServersRequest(metadata=wanted))
        return [each.name for each in answer.servers]

    async def runs(self) -> list[Run]:
        """Read the simulator's records; they have one order."""
        async with connect(self._address) as channel:
            stub = simulator_service_pb2_grpc.SimulatorControlServiceStub(channel)
            answer = await stub.ListCommands(ListCommandsRequest())
        return [
            Run(
                host=each.server,
                operation=each.operation_id,
                key=each.key,
                epoch=each.epoch,
                begin=each.begin_order,
                end=each.end_order or None,
                succeeded=each.HasField("exit_code") and each.exit_code == 0,
            )
            for each in answer.commands
        ]

    async def left(self) -> list[str]:
        """List all servers."""
        return list(await self.servers(""))


class SeenHosts:
    """Hosts on this machine, by what the far side writes down on each.

    A host goes with its folder, so it is looked at again and again; what came and went in between
    is not seen.
    """

    tells_all = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self._trail: Trail | None = None
        self._runs: dict[tuple[str, str, str, int], Run] = {}

    async def watch(self) -> None:
        """Look several times a second."""
        while True:
            await asyncio.to_thread(self._look)
            await asyncio.sleep(_LOOK_SECONDS)

    async def servers(self, cluster_id: str) -> Sequence[str]:
        """List the names of hosts."""
        return [name for name, cluster, _ in self._hosts() if cluster_id in ("", cluster)]

    async def runs(self) -> list[Run]:
        """Give what was seen."""
        return list(self._runs.values())

    async def left(self) -> list[str]:
        """List everything that hosts put on this machine.

        Hosts come and go all the time, and the numbers of their namespaces are given to others: one
        is ours if its first process was started for this cloud.
        """
        if self._trail is None:
            return []
        found = await asyncio.to_thread(self._trail.found)
        return [
            each for each in found if not each.startswith("namespace") or str(self._root) in each
        ]

    def _look(self) -> None:
        if self._trail is None and Path(self._root, "cloud-id").exists():
            self._trail = Trail(self._root)
        # What is looked at may go at any moment.
        with suppress(OSError):
            if self._trail is not None:
                self._trail.follow()
        living = _living()
        for name, _, folder in self._hosts():
            for pid in folder.glob("home/.savanna/*/*/*/pid"):
                with suppress(OSError, ValueError):
                    self._note(name, pid.parent, living)

    def _hosts(self) -> list[tuple[str, str, Path]]:
        found = []
        for record in Path(self._root, "hosts").glob("*/record.json"):
            with suppress(OSError, ValueError):
                told = json.loads(record.read_text())
                found.append((told["name"], told["cluster_id"], record.parent))
        return found

    def _note(self, host: str, folder: Path, living: set[tuple[int, int]]) -> None:
        """Note a run: it ended when its exit code was written, or not before it was last seen."""
        operation, key = (unquote(each) for each in folder.parts[-3:-1])
        leader, started = (int(each) for each in (folder / "pid").read_text().split()[:2])
        begin = started / os.sysconf("SC_CLK_TCK")
        name = (host, operation, key, int(folder.name))
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        known = self._runs.get(name)
        seen = known.end if known is not None and known.end is not None else begin
        if (folder / "rc").exists():
            seen = (folder / "rc").stat().st_mtime - (time.time() - now)
        elif (leader, started) in living:
            seen = now
        self._runs[name] = Run(host, operation, key, name[-1], begin, max(begin, seen - _TICK))


def _living() -> set[tuple[int, int]]:
    """List the processes of this machine: the number that each has where it lives, and its start
    time in clock ticks."""
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, StopIteration):
            status = (each / "status").read_text().splitlines()
            numbers = next(line for line in status if line.startswith("NSpid:")).split()
            started = (each / "stat").read_text().rpartition(")")[2].split()[19]
            found.add((int(numbers[-1]), int(started)))
    return found
