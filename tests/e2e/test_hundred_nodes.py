"""A hundred nodes on the simulated cloud: launch, scale, delete, with two engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.simulator.v1.simulator_service_pb2 import ListCommandsRequest
from savanna_kit import errors
from tests.e2e.meshes import servers_of, simulator_of, user_of
from tests.e2e.user import instances, share_of_ssh, unfinished

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh


async def test_a_hundred_nodes_are_launched_scaled_and_deleted_by_two_engines(mesh: Mesh) -> None:
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        begun = await user.launch("big", workers=99)
        assert begun.cluster.state == Cluster.STATE_VALIDATING
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster("big")
        assert cluster.state == Cluster.STATE_ACTIVE
        assert len(instances(cluster)) == 100
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        history = await user.history(launch)
        assert list(unfinished(history)) == []
        shares = share_of_ssh(history)
        assert set(shares) == {"engine-1", "engine-2"}
        assert min(shares.values()) >= 0.25

        more = await user.scale("big", workers=109)
        assert more.state == Operation.STATE_SUCCEEDED, more.failure
        assert len(instances(await user.cluster("big"))) == 110
        fewer = await user.scale("big", workers=95)
        assert fewer.state == Operation.STATE_SUCCEEDED, fewer.failure
        assert len(instances(await user.cluster("big"))) == 96
        keys = [
            each.key
            for each in (await simulator.ListCommands(ListCommandsRequest())).commands
            if each.key.startswith("decommission/")
        ]
        assert len(keys) == 14

        end = await user.delete("big")
        assert end.state == Operation.STATE_SUCCEEDED, end.failure
        with pytest.raises(errors.NotFound):
            await user.client.clusters.GetCluster(clusters.GetClusterRequest(id="big"))
        servers = await servers_of(mesh, end.cluster_id)
        assert servers == []
