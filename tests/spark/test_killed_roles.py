"""Services that die without a word while Spark is being started: each role once, then all."""

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
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_all_in_one.mesh import Mesh
    from tests.spark.user import SparkUser

pytestmark = pytest.mark.timeout(BUSY)

DAEMONS = ("Master", "HistoryServer", "Worker")
WHO_DOES_IT, ALL = "the engine at work", "all"
MOMENTS = (
    ("create/", "conductor"),
    ("configure/", "api"),
    ("start/master/", "scheduler-1"),
    ("start/worker/", WHO_DOES_IT),
    ("start/worker/", ALL),
)
"""Whom it strikes when an engine is given such a task."""

IN_THE_MIDDLE = 0.3
"""Seconds after which a step that starts a JVM is under way, and far from its end."""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh of its own, of which in the end nothing shall be left."""
    with real_mesh(tmp_path_factory.mktemp("mesh"), "spark") as mesh:
        yield mesh


async def test_a_launch_outlives_each_role_and_the_end_of_all_at_once_and_nothing_is_left(
    mesh: Mesh, text: Path, counts: Counter[str]
) -> None:
    async with spark_user_of(mesh) as user:
        begun = await user.begin_spark("survivor", workers=1)
        # Its first plan is not asked for yet.
        replace(mesh, "plugin-spark")
        await strike(mesh, user, begun.operation)

        cluster = await user.active(begun.operation)
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        assert daemons_of(cluster) == dict.fromkeys(DAEMONS, 1)
        history = await user.history(begun.operation)
        assert list(unfinished(history)) == []
        attempts = [attempt for each in history for attempt in each.attempts]
        assert Attempt.OUTCOME_LOST in {each.outcome for each in attempts}

        job = await user.run(cluster, "PySpark", programs.COUNT_WORDS, args=[str(text)])
        ended = await user.ended(job)
        assert ended.state == "STATE_SUCCEEDED", ended.evidence
        pairs = (line.split() for line in ended.output.splitlines())
        assert {word: int(number) for word, number in pairs} == counts

        trail = Trail(hosts_of(mesh.plan)).follow()
        assert trail.kinds() == {"process", "namespace", "link", "mount", "file"}
        end = await user.delete("survivor")
        assert end.state == Operation.STATE_SUCCEEDED, end.failure
        assert trail.found() == []


async def strike(mesh: Mesh, user: SparkUser, launch: Operation) -> None:
    """Follow a launch to its end, and kill at each of the moments; the journal has no hole and
    tells nothing twice, whoever died."""
    coming, told = list(MOMENTS), [0]
    async with asyncio.timeout(PATIENCE):
        async for entry in user.client.watch(operation_id=launch.id):
            told.append(entry.sequence)
            is_assigned = entry.kind == JournalEntry.KIND_TASK_ASSIGNED
            if coming and is_assigned and entry.task_key.startswith(coming[0][0]):
                await asyncio.sleep(IN_THE_MIDDLE if "start/" in entry.task_key else 0)
                _, victim = coming.pop(0)
                everybody = mesh.plan.names() if victim == ALL else [victim]
                replace(mesh, *(entry.engine_id if v == WHO_DOES_IT else v for v in everybody))
    assert coming == []
    assert told == sorted(set(told))
    for name in mesh.plan.names():
        mesh.wait(name)


def replace(mesh: Mesh, *names: str) -> None:
    """Kill services, and start them again as those who watch over them do: with the same data, at
    the same address."""
    for name in names:
        mesh.kill(name)
    for name in names:
        mesh.start(name)


def daemons_of(cluster: Cluster) -> dict[str, int]:
    """Count the daemons that run on all hosts of a cluster."""
    lines = [f"{line} " for each in instances(cluster) for line in commands_on(each)]
    return {each: sum(f".{each} " in line for line in lines) for each in DAEMONS}
