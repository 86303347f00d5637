"""Several programs at once, on one cluster and on two."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.operation.v1.operation_pb2 import Operation
from savanna_engine.cloud.local import marks
from tests.e2e.user import instances
from tests.spark import programs
from tests.spark.user import BUSY

if TYPE_CHECKING:
    from pathlib import Path

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from tests.spark.user import SparkUser

pytestmark = pytest.mark.timeout(BUSY)

NAMES = ("one", "two", "three")


async def test_programs_run_at_the_same_time_on_one_cluster_and_on_two(
    user: SparkUser, cluster: Cluster, meeting_place: Path
) -> None:
    second = await user.launch_spark("second", workers=1)
    places = (cluster, cluster, second)
    # Each ends only when all have begun on their executors.
    jobs = [
        await user.run(
            place,
            "PySpark",
            programs.MEET,
            name=name,
            args=[str(meeting_place), name, *(each for each in NAMES if each != name)],
            configs={"spark.cores.max": 1},
        )
        for name, place in zip(NAMES, places, strict=True)
    ]
    for ended in await asyncio.gather(*(user.ended(each) for each in jobs)):
        assert ended.state == "STATE_SUCCEEDED", ended.evidence
        assert ended.output == "sum 285\n"
    end = await user.delete("second")
    assert end.state == Operation.STATE_SUCCEEDED, end.failure
    for each in instances(second):
        assert marks.marked(marks.HOST_MARK, each.id) == []
