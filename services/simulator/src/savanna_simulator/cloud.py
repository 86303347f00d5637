"""The simulated cloud: servers with names, metadata and addresses, in memory only.

Nothing outlives the process: a simulator that is started again has no servers.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import uuid
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from savanna_kit.errors import ResourceExhausted, Unavailable
from savanna_simulator.hosts import Login

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from random import Random

    from savanna_kit.clock import Clock
    from savanna_simulator.behaviors import Behaviors
    from savanna_simulator.hosts import Hosts

BUILD = "BUILD"
ACTIVE = "ACTIVE"
ERROR = "ERROR"
HOST_KEY = "savanna_host_key"

_FIRST_ADDRESS = int(IPv4Address("10.0.0.1"))
_ADDRESSES = 2**24 - 2


@dataclass(frozen=True)
class SimulatedServer:
    """A server: everything that will become of it is settled when it is made."""

    id: str
    name: str
    metadata: Mapping[str, str]
    address: str
    booted: float
    boot_fails: bool
    made_at: datetime


class SimulatedServers:
    """All servers, and the indexes that find them by what they carry."""

    def __init__(
        self,
        behaviors: Behaviors,
        hosts: Hosts,
        clock: Clock,
        *,
        chance: Random,
        max_servers: int,
    ) -> None:
        self.max_servers = max_servers
        self._behaviors = behaviors
        self._hosts = hosts
        self._clock = clock
        self._chance = chance
        self._servers: dict[str, SimulatedServer] = {}
        # Dictionaries stand for sets here: they keep the order, so that the oldest comes first.
        self._carrying: dict[tuple[str, str], dict[str, None]] = {}
        self._addresses: set[str] = set()
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._servers)

    def create(self, name: str, metadata: Mapping[str, str]) -> SimulatedServer:
        """Make a server, also when there is one that looks the same.

        Raises ``ResourceExhausted``.
        """
        if self.max_servers and len(self._servers) >= self.max_servers:
            raise ResourceExhausted(
                f"the quota of {self.max_servers} servers is used up: remove one first",
                reason="QUOTA_EXCEEDED",
                metadata={"limit": str(self.max_servers), "used": str(len(self._servers))},
            )
        traits = self._behaviors.traits(name)
        booted = self._clock.monotonic() + traits.boot_seconds
        server = SimulatedServer(
            id=str(uuid.UUID(int=self._chance.getrandbits(128), version=4)),
            name=name,
            metadata=metadata,
            address=self._take_address(),
            booted=booted,
            boot_fails=traits.boot_fails,
            made_at=self._clock.now(),
        )
        self._add(server)
        login = Login(server.address, metadata.get(HOST_KEY, ""))
        self._hosts.open(login, name, math.inf if traits.boot_fails else booted)
        return server

    async def reply(self, server: SimulatedServer) -> None:
        """Take the time that the reply to a create takes; raises ``Unavailable`` if it is lost."""
        traits = self._behaviors.traits(server.name)
        await asyncio.sleep(traits.create_seconds)
        if traits.create_reply_lost:
            raise Unavailable(f"the reply about {server.name} was lost", reason="REPLY_LOST")

    def find(self, metadata: Mapping[str, str], server_id: str = "") -> list[SimulatedServer]:
        """List the servers that carry all of this, oldest first; nothing given lists all."""
        if server_id:
            one = self._servers.get(server_id)
            candidates = [one] if one else []
        elif metadata:
            carrying = [self._carrying.get(pair, {}) for pair in metadata.items()]
            candidates = [self._servers[each] for each in min(carrying, key=len)]
        else:
            candidates = list(self._servers.values())
        wanted = metadata.items()
        return [each for each in candidates if wanted <= each.metadata.items()]

    def status(self, server: SimulatedServer) -> str:
        """Say how far a server is."""
        if self._clock.monotonic() < server.booted:
            return BUILD
        return ERROR if server.boot_fails else ACTIVE

    def delete(self, server_id: str) -> None:
        """Remove a server and end what runs on it; one that is not there is removed already."""
        server = self._servers.pop(server_id, None)
        if server is None:
            return
        for pair in server.metadata.items():
            carrying = self._carrying[pair]
            del carrying[server_id]
            if not carrying:
                del self._carrying[pair]
        self._addresses.discard(server.address)
        self._hosts.close(server.address)

    def _add(self, server: SimulatedServer) -> None:
        self._servers[server.id] = server
        for pair in server.metadata.items():
            self._carrying.setdefault(pair, {})[server.id] = None

    def _take_address(self) -> str:
        # An address comes back only after all others: who still holds it then finds nobody there.
        if len(self._addresses) == _ADDRESSES:
            raise ResourceExhausted("all addresses of 10.0.0.0/8 are taken: remove a server first")
        while True:
            number = next(self._numbers) % _ADDRESSES
            address = str(IPv4Address(_FIRST_ADDRESS + number))
            if address not in self._addresses:
                self._addresses.add(address)
                return address
