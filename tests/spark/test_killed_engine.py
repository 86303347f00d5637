"""An engine that dies without a word while Spark is being started."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Attempt, JournalEntry, Operation
from tests.e2e.leftovers import Trail
from tests.e2e.real_meshes import hosts_of, real_mesh
from tests.e2e.user import instances, unfinished
from tests.spark import programs
from tests.spark.hosts import commands_on
from tests.spark.user import BUSY, PATIENCE, spark_user_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_all_in_one.mesh import Mesh
    from tests.spark.user import SparkUser

pytestmark = pytest.mark.timeout(BUSY)

DAEMONS = ("Master", "HistoryServer", "Worker")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh of its own, of which in the end nothing shall be left."""
    with real_mesh(tmp_path_factory.mktemp("mesh"), "spark") as mesh:
        yield mesh


async def test_an_engine_killed_while_spark_starts_changes_nothing_and_nothing_is_left(
    mesh: Mesh,
) -> None:
    async with spark_user_of(mesh) as user:
        begun = await user.begin_spark("survivor", workers=1)
        victim = await starter_of_the_master(user, begun.operation)
        mesh.kill(victim)
        try:
            cluster = await user.active(begun.operation)
        finally:
            mesh.start(victim)
            mesh.wait(victim)
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        history = await user.history(begun.operation)
        assert list(unfinished(history)) == []
        attempts = [attempt for each in history for attempt in each.attempts]
        assert Attempt.OUTCOME_LOST in {each.outcome for each in attempts}
        lines = [line for each in instances(cluster) for line in commands_on(each)]
        assert [sum(f".{each} " in f"{line} " for line in lines) for each in DAEMONS] == [1, 1, 1]

        ended = await user.ended(await user.run(cluster, "PySpark", programs.SUM))
        assert ended.state == "STATE_SUCCEEDED", ended.evidence
        assert ended.output == "sum 499500\n"

        trail = Trail(hosts_of(mesh.plan)).follow()
        assert trail.kinds() == {"process", "namespace", "link", "mount", "file"}
        end = await user.delete("survivor")
        assert end.state == Operation.STATE_SUCCEEDED, end.failure
        assert trail.found() == []


async def starter_of_the_master(user: SparkUser, launch: Operation) -> str:
    """Wait until an engine starts the master; give the engine."""
    async with asyncio.timeout(PATIENCE):
        async for entry in user.client.watch(operation_id=launch.id):
            is_assigned = entry.kind == JournalEntry.KIND_TASK_ASSIGNED
            if is_assigned and entry.task_key.startswith("start/master/"):
                await asyncio.sleep(0.3)
                return entry.engine_id
    raise AssertionError("no engine ever started the master")
