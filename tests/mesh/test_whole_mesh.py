"""Two gateways, conductors, schedulers and plugins and three engines behind the real Envoy, under
mutual TLS, each process in a network namespace of its own, with real Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation
from tests.e2e.user import instances
from tests.mesh.plans import plan_of
from tests.spark import programs
from tests.spark.user import BUSY, SparkUser

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh

pytestmark = pytest.mark.timeout(BUSY)


async def test_a_spark_cluster_is_launched_through_the_whole_mesh_and_its_job_is_right(
    real: Mesh,
) -> None:
    async with plan_of(real).client() as client:
        user = SparkUser(client)
        cluster = await user.launch_spark("far-apart", workers=1)
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        ended = await user.ended(await user.run(cluster, "PySpark", programs.SUM))
        assert ended.state == "STATE_SUCCEEDED", ended.evidence
        assert f"sum {sum(range(1000))}" in ended.output.splitlines()
        gone = await user.delete("far-apart")
        assert gone.state == Operation.STATE_SUCCEEDED, gone.failure
