"""Orphans: what is one, what is none, and what becomes of them, through the engine's front."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from random import Random
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.cluster.v1.orphan_pb2 import (
    CLEAN_OUTCOME_ABSENT,
    CLEAN_OUTCOME_REMOVED,
    CLEAN_OUTCOME_REMOVING,
    CleanOutcome,
    Orphan,
)
from savanna.conductor.v1 import facts_service_pb2_grpc
from savanna.engine.v1 import cloud_service_pb2_grpc
from savanna.engine.v1.cloud_service_pb2 import CleanOrphanRequest, ListOrphansRequest
from savanna_engine.cloud.base import ClusterOrder, Server, ServerStatus
from savanna_engine.cloud.errors import CloudUnavailable
from savanna_engine.service import CloudService
from savanna_engine.settings import EngineSettings
from savanna_engine.sweeper import Rounds, Sweeper
from savanna_kit import errors, metrics, serving
from savanna_kit.channels import connect
from savanna_kit.clock import ManualClock
from savanna_kit.executors import BoundedExecutor
from tests.scrapes import scrape
from tests.unit.engine.neighbours import Conductor, MemoryCloud

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import grpc

GRACE = timedelta(minutes=10)


class Room:
    """An engine's sweeper between a cloud and a conductor in memory."""

    def __init__(self, conductor: Conductor, channel: grpc.aio.Channel) -> None:
        self.cloud = MemoryCloud()
        self.conductor = conductor
        self.clock = ManualClock()
        self.threads = BoundedExecutor("cloud", 2)
        self.sweeper = Sweeper(
            self.cloud,
            facts_service_pb2_grpc.FactsServiceStub(channel),
            grace=GRACE,
            clock=self.clock,
            look_threads=self.threads,
            cloud_threads=self.threads,
        )

    def open(self, channel: grpc.aio.Channel) -> None:
        self.front = cloud_service_pb2_grpc.CloudServiceStub(channel)

    def has(
        self, name: str, *, cluster: str = "c1", deployment: str = "d1", minutes_ago: float = 60
    ) -> None:
        """Let the cloud hold a server for the instance of that name."""
        self.cloud.servers[name] = Server(
            provider_id=f"server-{name}",
            instance_id=name,
            cluster_id=cluster,
            name=f"demo-{name}",
            status=ServerStatus.RUNNING,
            project_id="p1",
            deployment_id=deployment,
            made_at=self.clock.now() - timedelta(minutes=minutes_ago),
        )

    def knows(self, name: str, *, cluster: str = "c1") -> None:
        """Let the conductor know an instance and its cluster."""
        self.conductor.instances.append(Instance(id=name))
        self.conductor.clusters.append(cluster)

    async def orphans(self) -> list[Orphan]:
        return list((await self.front.ListOrphans(ListOrphansRequest())).orphans)

    async def names(self) -> list[str]:
        return [each.name for each in await self.orphans()]

    async def clean(self, server_id: str) -> CleanOutcome.ValueType:
        return (await self.front.CleanOrphan(CleanOrphanRequest(id=server_id))).outcome

    async def sweep(self, clean: int = 0) -> list[str]:
        """Make one round and tell which instances still have servers."""
        given = EngineSettings(sweep_clean=clean)
        await Rounds(self.sweeper, given, Random(1)).sweep()
        return sorted(self.cloud.servers)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    conductor = Conductor()
    facts = serving.Served(
        "savanna.conductor.v1.FactsService",
        facts_service_pb2_grpc.add_FactsServiceServicer_to_server,
        conductor,
    )
    behind = serving.Parts(
        "conductor", f"unix:{tmp_path}/conductor", served=[facts], drain_seconds=0.1
    )
    async with connect(behind.listen) as channel, serving.running([behind]):
        made = Room(conductor, channel)
        front = serving.Served(
            "savanna.engine.v1.CloudService",
            cloud_service_pb2_grpc.add_CloudServiceServicer_to_server,
            CloudService(made.cloud, made.threads, made.sweeper),
        )
        engine = serving.Parts(
            "engine", f"unix:{tmp_path}/engine", served=[front], drain_seconds=0.1
        )
        async with serving.running([engine]), connect(engine.listen) as to_engine:
            made.open(to_engine)
            yield made
        made.threads.close()


async def test_orphans_are_listed_oldest_first_with_whose_they_were_and_why(room: Room) -> None:
    room.knows("i1")
    room.has("i1")
    room.has("i2", minutes_ago=20)
    room.has("i3", cluster="gone", minutes_ago=30)
    first, second = await room.orphans()
    assert (first.id, first.name, first.instance_id) == ("server-i3", "demo-i3", "i3")
    assert (first.cluster_id, first.project_id) == ("gone", "p1")
    assert room.clock.now() - first.create_time.ToDatetime(UTC) == timedelta(minutes=30)
    assert first.reason == Orphan.REASON_CLUSTER_UNKNOWN
    assert (second.name, second.reason) == ("demo-i2", Orphan.REASON_INSTANCE_UNKNOWN)


async def test_an_empty_cloud_has_no_orphans(room: Room) -> None:
    room.knows("i1")
    assert await room.orphans() == []


async def test_a_young_server_is_no_orphan_until_its_grace_is_over(room: Room) -> None:
    room.has("i1", minutes_ago=9)
    assert await room.orphans() == []
    room.clock.advance(61)
    assert await room.names() == ["demo-i1"]


async def test_what_others_made_is_none_of_our_business(room: Room) -> None:
    room.has("i1", deployment="d2")
    room.has("i2", deployment="")
    listed = await room.front.ListOrphans(ListOrphansRequest())
    assert (list(listed.orphans), listed.foreign_servers) == ([], 2)
    for name in ("i1", "i2"):
        with pytest.raises(errors.FailedPrecondition, match="deployment of Savanna"):
            await room.clean(f"server-{name}")
    assert sorted(room.cloud.servers) == ["i1", "i2"]


async def test_a_server_that_does_not_say_since_when_it_is_there_is_left_alone(room: Room) -> None:
    room.has("i1")
    room.cloud.change("i1", made_at=None)
    assert await room.orphans() == []


async def test_a_server_that_is_made_while_one_looks_is_no_orphan(room: Room) -> None:
    made = 0

    def launch() -> None:
        nonlocal made
        made += 1
        room.knows(f"i{made}")
        # Old enough: the order of the looks alone has to do.
        room.has(f"i{made}")

    room.has("old")
    room.conductor.then = room.cloud.then = launch
    assert await room.names() == ["demo-old"]
    assert made >= 2


async def test_a_server_that_is_removed_while_one_looks_is_no_orphan(room: Room) -> None:
    room.knows("i1")
    room.has("i1")

    def remove() -> None:
        room.cloud.servers.clear()
        room.conductor.instances.clear()

    room.cloud.then = remove
    assert await room.orphans() == []


async def test_cleaning_removes_the_orphan_and_nothing_else(room: Room) -> None:
    room.knows("i1")
    for name in ("i1", "i2", "i3"):
        room.has(name)
    assert await room.clean("server-i2") == CLEAN_OUTCOME_REMOVED
    assert sorted(room.cloud.servers) == ["i1", "i3"]


async def test_cleaning_can_be_repeated(room: Room) -> None:
    room.has("i1")
    room.cloud.deletes_needed = 2
    assert await room.clean("server-i1") == CLEAN_OUTCOME_REMOVING
    assert await room.clean("server-i1") == CLEAN_OUTCOME_REMOVED
    assert await room.clean("server-i1") == CLEAN_OUTCOME_ABSENT


async def test_the_last_orphan_of_a_cluster_takes_along_what_its_servers_shared(
    room: Room,
) -> None:
    room.knows("i1", cluster="alive")
    for cluster in ("alive", "gone"):
        room.cloud.prepared[cluster] = ClusterOrder(cluster, "demo", "p1", "")
    room.has("i2", cluster="gone")
    room.has("i3", cluster="gone")
    room.has("i4", cluster="alive")
    await room.clean("server-i2")
    assert set(room.cloud.prepared) == {"alive", "gone"}
    await room.clean("server-i3")
    # The cluster that lives has no server left; it may just be about to make one.
    await room.clean("server-i4")
    assert set(room.cloud.prepared) == {"alive"}


async def test_a_second_server_of_an_instance_is_an_orphan_once_the_other_is_in_use(
    room: Room,
) -> None:
    room.knows("i1")
    room.has("i1")
    room.has("copy")
    room.cloud.change("copy", instance_id="i1")
    (instance,) = room.conductor.instances
    instance.provider_id = "server-i1"
    for state in (Instance.STATE_CREATED, Instance.STATE_FAILED):
        # It is not settled yet which one is used, or both will go.
        instance.state = state
        assert await room.orphans() == []
        with pytest.raises(errors.FailedPrecondition, match="it is instance i1"):
            await room.clean("server-copy")
    instance.state = Instance.STATE_READY
    (found,) = await room.orphans()
    assert (found.id, found.reason) == ("server-copy", Orphan.REASON_DUPLICATE)
    with pytest.raises(errors.FailedPrecondition, match="it is instance i1"):
        await room.clean("server-i1")
    assert await room.clean("server-copy") == CLEAN_OUTCOME_REMOVED
    assert sorted(room.cloud.servers) == ["i1"]


async def test_two_servers_of_an_instance_of_which_the_cloud_has_lost_the_third_stay(
    room: Room,
) -> None:
    room.knows("i1")
    room.has("i1")
    room.has("copy")
    room.cloud.change("copy", instance_id="i1")
    room.conductor.instances[0].provider_id = "server-gone"
    room.conductor.instances[0].state = Instance.STATE_READY
    assert await room.orphans() == []


async def test_cleaning_looks_again_whether_it_is_an_orphan(room: Room) -> None:
    room.has("i1")
    assert await room.names() == ["demo-i1"]
    room.knows("i1")
    with pytest.raises(errors.FailedPrecondition, match="it is instance i1 of cluster c1") as told:
        await room.clean("server-i1")
    assert told.value.reason == "NOT_AN_ORPHAN"
    room.has("i2", minutes_ago=9)
    with pytest.raises(errors.FailedPrecondition, match="ask again in 60 s"):
        await room.clean("server-i2")
    assert sorted(room.cloud.servers) == ["i1", "i2"]


async def test_a_cloud_that_does_not_answer_is_told(room: Room) -> None:
    room.has("i1")
    room.cloud.stuck = {"i1"}
    with pytest.raises(errors.Unavailable, match="the cloud is stuck"):
        await room.clean("server-i1")
    room.cloud.error = CloudUnavailable("the cloud is away")
    with pytest.raises(errors.Unavailable, match="the cloud is away"):
        await room.orphans()


async def test_a_sweep_only_tells_unless_it_is_wished_otherwise(room: Room) -> None:
    room.has("i1")
    assert await room.sweep() == ["i1"]
    assert await room.sweep(clean=1) == []


async def test_a_sweep_leaves_it_to_people_when_it_finds_too_many(room: Room) -> None:
    for name in ("i1", "i2", "i3"):
        room.has(name)
    assert await room.sweep(clean=2) == ["i1", "i2", "i3"]


async def test_a_sweep_passes_by_what_can_not_be_removed(room: Room) -> None:
    for name in ("i1", "i2", "i3"):
        room.has(name)
    room.cloud.stuck = {"i1"}
    assert await room.sweep(clean=9) == ["i1"]


async def test_rounds_go_on_when_one_fails(room: Room) -> None:
    room.has("i1")
    room.cloud.error = CloudUnavailable("the cloud is away")
    given = EngineSettings(sweep_interval_seconds=0.01, sweep_clean=1)
    rounds = asyncio.create_task(Rounds(room.sweeper, given, Random(1)).run())
    async with asyncio.timeout(5):
        while not room.cloud.asked.is_set():
            await asyncio.sleep(0.005)
        room.cloud.error = None
        while room.cloud.servers:
            await asyncio.sleep(0.005)
    rounds.cancel()


async def test_orphans_and_what_became_of_them_are_measured(room: Room) -> None:
    for name in ("i1", "i2"):
        room.has(name)
    given = EngineSettings(sweep_interval_seconds=0.01)
    async with metrics.endpoint("127.0.0.1:0", "engine") as where:
        rounds = asyncio.create_task(Rounds(room.sweeper, given, Random(1)).run())
        while not (found := await scrape(where)).get("savanna_engine_orphans"):
            await asyncio.sleep(0.005)
        assert found["savanna_engine_orphans"] == 2
        assert found['savanna_engine_sweeps_total{outcome="ended"}'] >= 1
        await room.clean("server-i1")
        room.cloud.stuck = {"i2"}
        with pytest.raises(errors.Unavailable):
            await room.clean("server-i2")
        rounds.cancel()
        found = await scrape(where)
    for outcome in ("removed", "failed"):
        assert found[f'savanna_engine_orphans_cleaned_total{{outcome="{outcome}"}}'] == 1


async def test_an_engine_that_is_told_so_never_sweeps(room: Room) -> None:
    async with asyncio.timeout(1):
        await Rounds(room.sweeper, EngineSettings(sweep_interval_seconds=0), Random(1)).run()
