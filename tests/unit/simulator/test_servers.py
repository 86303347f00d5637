"""Simulated servers: made, booted, found, counted, removed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna_kit import errors
from tests.unit.simulator.conftest import BOOT_SECONDS, MAX_SERVERS

if TYPE_CHECKING:
    from tests.unit.simulator.conftest import Simulator


async def test_a_server_has_an_address_once_it_has_booted(simulator: Simulator) -> None:
    made = await simulator.create()
    assert (made.status, made.address) == ("BUILD", "")
    simulator.clock.advance(BOOT_SECONDS - 0.1)
    (server,) = await simulator.servers(id=made.id)
    assert (server.status, server.address) == ("BUILD", "")
    simulator.clock.advance(0.1)
    (server,) = await simulator.servers(id=made.id)
    assert server.status == "ACTIVE"
    assert ip_address(server.address) in ip_network("10.0.0.0/8")


async def test_the_same_create_twice_makes_two_servers(simulator: Simulator) -> None:
    first = await simulator.create(savanna_instance="i1")
    second = await simulator.create(savanna_instance="i1")
    assert [each.id for each in await simulator.servers(savanna_instance="i1")] == [
        first.id,
        second.id,
    ]


async def test_servers_are_found_by_all_that_they_carry(simulator: Simulator) -> None:
    one = await simulator.create(savanna_cluster="c1", savanna_instance="i1")
    other = await simulator.create(savanna_cluster="c1", savanna_instance="i2")
    await simulator.create(savanna_cluster="c2", savanna_instance="i1")

    async def found(**metadata: str) -> list[str]:
        return [each.id for each in await simulator.servers(**metadata)]

    assert await found(savanna_cluster="c1") == [one.id, other.id]
    assert await found(savanna_cluster="c1", savanna_instance="i1") == [one.id]
    assert await found(savanna_cluster="c3") == []
    assert len(await found()) == 3


async def test_removing_can_be_repeated(simulator: Simulator) -> None:
    made = await simulator.create(savanna_instance="i1")
    for _ in range(2):
        await simulator.delete(made.id)
    await simulator.delete("never-was")
    assert await simulator.servers(savanna_instance="i1") == []
    assert await simulator.servers(id=made.id) == []


async def test_thousands_of_servers_have_addresses_of_their_own_up_to_the_quota(
    simulator: Simulator,
) -> None:
    for number in range(MAX_SERVERS):
        await simulator.create(f"c1-worker-{number}", savanna_instance=str(number))
    with pytest.raises(errors.ResourceExhausted, match="2000 servers") as caught:
        await simulator.create("one-too-many")
    assert caught.value.reason == "QUOTA_EXCEEDED"
    simulator.clock.advance(BOOT_SECONDS)
    servers = await simulator.servers()
    assert len({each.address for each in servers}) == MAX_SERVERS
    limits = await simulator.cloud.GetLimits(messages.GetLimitsRequest())
    assert (limits.max_servers, limits.used_servers) == (MAX_SERVERS, MAX_SERVERS)
    await simulator.delete(servers[0].id)
    await simulator.create("there-is-room-again")


async def test_an_address_is_not_given_again_soon(simulator: Simulator) -> None:
    first = await simulator.boot()
    (server,) = await simulator.servers()
    await simulator.delete(server.id)
    assert await simulator.boot() != first
