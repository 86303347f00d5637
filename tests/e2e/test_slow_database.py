"""A database that stands still for four leases: what was acknowledged is there, nothing is done
twice, and the launch under way becomes Active.

Leases are a tenth as long as they are by default, so that four of them stand for half a minute.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

import savanna_conductor.main as conductor
import savanna_engine.main as engine
import savanna_scheduler.main as scheduler
import savanna_simulator.main as simulator
from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_engine.cloud.simulated import SimulatedCloud
from savanna_engine.settings import EngineSettings
from savanna_kit import serving
from savanna_kit.channels import connect
from savanna_plugin_fake.example import EXAMPLE
from savanna_plugin_fake.plugin import FakePlugin
from savanna_pluginkit import service as plugin_service
from savanna_scheduler.settings import SchedulerSettings
from savanna_simulator.settings import SimulatorSettings
from tests.unit.conductor.conftest import PROJECT, Conductor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LEASE = 0.6
ENDS = (Cluster.STATE_ACTIVE, Cluster.STATE_ERROR)


def everything(folder: Path, database_url: str) -> list[serving.Parts]:
    """Build a conductor, a scheduler, two engines, the simulated cloud and a plugin."""

    def at(name: str) -> str:
        return f"unix:{folder}/{name}.sock"

    database = dialect.open_engine(database_url, readers=1)
    migrate(database)
    database.dispose()
    engines = [
        EngineSettings(
            listen=at(name),
            engine_id=name,
            conductor=at("conductor"),
            plugins=[at("plugin")],
            cloud="simulated",
            simulator=at("simulator"),
            drain_seconds=0.2,
        )
        for name in ("e1", "e2")
    ]
    return [
        conductor.build(
            ConductorSettings(
                listen=at("conductor"),
                database_url=database_url,
                key_file=folder / "savanna.key",
                engine_lease_seconds=LEASE,
                scheduler_lease_seconds=LEASE,
                look_seconds=0.05,
                drain_seconds=0.2,
            )
        ),
        plugin_service.build(
            FakePlugin(), plugin_service.PluginSettings(listen=at("plugin"), drain_seconds=0.2)
        ),
        simulator.build(
            SimulatorSettings(listen=at("simulator"), boot_seconds=0.3, drain_seconds=0.2)
        ),
        scheduler.build(
            SchedulerSettings(listen=at("scheduler"), conductor=at("conductor"), drain_seconds=0.2)
        ),
        *(engine.build(each) for each in engines),
    ]


@contextmanager
def standing_still(database_url: str) -> Iterator[None]:
    """Let nobody write."""
    database = dialect.open_engine(database_url, readers=1)
    with dialect.writing(database) as connection:
        dialect.begin(connection)
        yield
        dialect.commit(connection, ())
    database.dispose()


async def launch(mesh: Conductor, cloud: SimulatedCloud) -> Cluster:
    """Ask for a cluster as the gateway does."""
    catalog = await asyncio.to_thread(cloud.catalog, "default")
    cluster = Cluster()
    cluster.CopyFrom(EXAMPLE.cluster)
    cluster.default_image_id = catalog.images[0].id
    cluster.neutron_management_network = catalog.networks[0].id
    for group in cluster.node_groups:
        group.spec.flavor_id = catalog.flavors[0].id
    request = clusters_pb2.CreateClusterRequest(project_id=PROJECT, cluster=cluster)
    return (await mesh.clusters.CreateCluster(request)).cluster


async def eventually(
    mesh: Conductor, cluster_id: str, wished: Callable[[Cluster], bool]
) -> Cluster:
    """Wait until a cluster is as it is wished."""
    async with asyncio.timeout(40):
        while not wished(cluster := await mesh.read(cluster_id)):
            await asyncio.sleep(0.05)
    return cluster


def instances_of(cluster: Cluster) -> list[Instance]:
    return [each for group in cluster.node_groups for each in group.instances]


async def test_a_launch_goes_on_after_a_database_that_stood_still_for_four_leases(
    tmp_path: Path, database_url: str
) -> None:
    parts = everything(tmp_path, database_url)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving.running(parts))
        channel = await stack.enter_async_context(connect(parts[0].listen))
        mesh = Conductor(channel)
        cloud = SimulatedCloud(f"unix:{tmp_path}/simulator.sock")
        created = await launch(mesh, cloud)
        await eventually(mesh, created.id, lambda each: any(map(is_made, instances_of(each))))

        with standing_still(database_url):
            await asyncio.sleep(4 * LEASE)

        cluster = await eventually(mesh, created.id, lambda each: each.state in ENDS)
        assert cluster.state == Cluster.STATE_ACTIVE, cluster.status_description
        assert {each.state for each in instances_of(cluster)} == {Instance.STATE_READY}
        made = await asyncio.to_thread(cloud.find_servers, cluster_id=created.id)
        wanted = sorted(each.id for each in instances_of(cluster))
        assert sorted(each.instance_id for each in made) == wanted
        cloud.close()


def is_made(instance: Instance) -> bool:
    return instance.state >= Instance.STATE_CREATED
