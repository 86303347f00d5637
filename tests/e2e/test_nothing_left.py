"""What was there before is there after: processes, links, mounts, namespaces and files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
from savanna_client import Client
from tests.e2e.leftovers import Trail
from tests.e2e.meshes import user_of
from tests.e2e.real_meshes import hosts_of, real_mesh
from tests.e2e.savanna_all import purged, savanna_all, swept
from tests.e2e.user import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from savanna_all_in_one.mesh import Mesh

ALL = {"process", "namespace", "link", "mount", "file"}
SLOW = {"fake.delay.configure": 3000}
MOMENTS = ["making", "configuring"]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh with the fake plugin on hosts of this machine."""
    with real_mesh(tmp_path_factory.mktemp("mesh"), "fake") as mesh:
        yield mesh


async def test_a_deleted_cluster_leaves_nothing(mesh: Mesh) -> None:
    async with user_of(mesh) as user:
        begun = await user.launch("usual", workers=2)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        trail = Trail(hosts_of(mesh.plan)).follow()
        assert trail.kinds() == ALL
        await user.delete("usual")
        assert trail.found() == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_cluster_deleted_after_the_death_of_an_engine_leaves_nothing(
    mesh: Mesh, moment: str
) -> None:
    async with user_of(mesh) as user:
        begun = await user.launch(f"orphan-{moment}", workers=4, configs=SLOW)
        engine = await engine_at_work(user, begun.operation, moment, hosts_of(mesh.plan))
        mesh.kill(engine)
        try:
            trail = Trail(hosts_of(mesh.plan)).follow()
            assert "process" in trail.kinds()
            end = await user.delete(f"orphan-{moment}")
        finally:
            mesh.start(engine)
            mesh.wait(engine)
        assert end.state == Operation.STATE_SUCCEEDED, end.failure
        assert trail.found() == []


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_purge_after_the_death_of_everything_leaves_nothing(
    tmp_path: Path, moment: str
) -> None:
    with swept(tmp_path / "data") as data:
        with savanna_all(data) as address:
            async with Client(address) as client:
                user = User(client)
                begun = await user.launch("lost", workers=4, configs=SLOW)
                await engine_at_work(user, begun.operation, moment, data / "hosts")
        trail = Trail(data / "hosts").follow()
        assert "process" in trail.kinds()
        assert "hosts" in purged(data)
        assert trail.found() == []
        assert not (data / "hosts").exists()


async def engine_at_work(user: User, launch: Operation, moment: str, root: Path) -> str:
    """Wait until a launch is in the middle of making or configuring hosts; give the engine."""
    prefix = "create/" if moment == "making" else "configure/"
    async with asyncio.timeout(30):
        async for entry in user.client.watch(operation_id=launch.id):
            is_assigned = entry.kind == JournalEntry.KIND_TASK_ASSIGNED
            if is_assigned and entry.task_key.startswith(prefix):
                while not hosts_began(root):
                    await asyncio.sleep(0.002)
                return entry.engine_id
    raise AssertionError(f"no engine ever began {prefix}")


def hosts_began(root: Path) -> bool:
    return any(root.glob("hosts/*/outer-pid"))
