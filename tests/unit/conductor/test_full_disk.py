"""The disk under SQLite is full: it is said what to do, nothing is lost, and it goes on."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_kit.errors import Unavailable
from tests.full_disk import small_disk
from tests.unit.conductor.changes import codes
from tests.unit.conductor.conftest import Conductor, new_owner, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
    from tests.full_disk import SmallDisk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture
async def conductor(disk: SmallDisk, tmp_path: Path) -> AsyncIterator[Conductor]:
    url = f"sqlite:///{disk.folder}/savanna.db"
    engine = dialect.open_engine(url, readers=1)
    migrate(engine)
    engine.dispose()
    settings = ConductorSettings(
        listen=f"unix:{tmp_path}/conductor.sock",
        database_url=url,
        key_file=tmp_path / "savanna.key",
        drain_seconds=0.1,
    )
    async with running(settings) as conductor:
        yield conductor


async def test_a_full_disk_refuses_with_what_to_do_and_goes_on_when_there_is_space(
    conductor: Conductor, disk: SmallDisk
) -> None:
    stored = [await conductor.create("before")]
    disk.fill()
    with pytest.raises(Unavailable) as refused:
        await create_for_ever(conductor, stored)
    assert refused.value.reason == "DATABASE_FULL"
    assert "make room on it" in refused.value.message

    for each in stored:
        assert (await conductor.read(each.cluster.id)).name == each.cluster.name

    disk.free()
    after = await conductor.create("after")
    owner = await new_owner(conductor)
    taken = []
    while graphs := (await owner.claim()).graphs:
        taken += [graph.operation.id for graph in graphs]
    assert taken == [each.operation.id for each in [*stored, after]]


async def test_a_commit_that_met_a_full_disk_is_stored_once_when_it_is_sent_again(
    conductor: Conductor, disk: SmallDisk
) -> None:
    created = await conductor.create()
    owner = await new_owner(conductor)
    await owner.claim()
    spawn = many(created.operation.id)
    disk.fill()
    with pytest.raises(Unavailable):
        await owner.commit(spawn)
    disk.free()
    verdicts = await owner.commit_again(spawn)
    assert codes(verdicts) == [execution.Verdict.CODE_APPLIED]
    assert len(verdicts[0].spawned) == 50


async def create_for_ever(
    conductor: Conductor, stored: list[clusters_pb2.CreateClusterResponse]
) -> None:
    """Create clusters, and note those that were acknowledged."""
    for number in count():
        created = await conductor.create(f"c{number}")
        stored.append(created)


def many(operation_id: str) -> execution.Change:
    """Store more than fits into what a file has left."""
    specs = [operation_pb2.TaskSpec(key=f"t{n}", body=bytes(10_000)) for n in range(50)]
    return execution.Change(spawn=execution.Spawn(operation_id=operation_id, tasks=specs))
