"""A cluster that grows and shrinks while a program runs on it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.operation.v1.operation_pb2 import Operation, Task
from tests.e2e.user import instances
from tests.spark import programs
from tests.spark.hosts import programs_on
from tests.spark.user import BUSY, PATIENCE, named

if TYPE_CHECKING:
    from pathlib import Path

    from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
    from tests.spark.user import SparkUser

pytestmark = pytest.mark.timeout(BUSY)


async def test_a_running_program_survives_growth_and_shrinkage_with_the_right_result(
    user: SparkUser, cluster: Cluster, meeting_place: Path
) -> None:
    go = meeting_place / "go"
    job = await user.run(
        cluster,
        "PySpark",
        programs.HOLD,
        args=[str(go)],
        # One executor on each worker, and one more for the worker that is to come.
        configs={"spark.cores.max": 3, "spark.executor.memory": "1000m"},
    )
    await user.until_it_says(job, "holding")
    larger = await user.scale("shared", workers=3)
    assert larger.state == Operation.STATE_SUCCEEDED, larger.failure

    await until_it_works(named(await user.cluster("shared"), "worker-2"))

    shrinking = await user.begin_scale("shared", workers=1)
    await until_told_to_leave(user, shrinking, workers=2)
    # Those that leave still hold tasks: nobody may take their hosts away.
    await asyncio.sleep(1.5)
    assert await states_of(user, shrinking, "delete/") <= {Task.STATE_PENDING}
    go.touch()

    ended = await user.ended(job)
    assert ended.state == "STATE_SUCCEEDED", ended.evidence
    sums = [(key, sum(range(key, 1000, 10))) for key in range(10)]
    assert ended.output == f"holding\n{sums}\n"
    smaller = await asyncio.wait_for(user.client.wait(shrinking.id), PATIENCE)
    assert smaller.state == Operation.STATE_SUCCEEDED, smaller.failure
    left = await user.cluster("shared")
    assert [each.name for each in instances(left)] == ["shared-master-0", "shared-worker-0"]


async def until_it_works(worker: Instance) -> None:
    """Wait until a worker runs tasks in Python."""
    async with asyncio.timeout(PATIENCE):
        while not [each for each in programs_on(worker) if "pyspark.daemon" in each]:
            await asyncio.sleep(0.1)


async def until_told_to_leave(user: SparkUser, shrinking: Operation, workers: int) -> None:
    """Wait until the workers that leave have looked at least once whether they may."""
    async with asyncio.timeout(PATIENCE):
        while True:
            history = await user.history(shrinking)
            told = [each for each in history if each.task.spec.key.startswith("decommission/")]
            if len([each for each in told if each.task.HasField("waiting_since_time")]) == workers:
                return
            await asyncio.sleep(0.1)


async def states_of(user: SparkUser, operation: Operation, prefix: str) -> set[int]:
    """Give the states of the tasks with such keys."""
    history = await user.history(operation)
    return {each.task.state for each in history if each.task.spec.key.startswith(prefix)}
