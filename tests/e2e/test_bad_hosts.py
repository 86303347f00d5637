"""One bad host costs one host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.simulator.v1.simulator_service_pb2 import AddBehaviorsRequest, Behavior
from tests.e2e.meshes import servers_of, simulator_of, user_of
from tests.e2e.user import instances

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh


async def test_a_host_that_never_answers_is_replaced(mesh: Mesh) -> None:
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        dead = Behavior(name_glob="mute-worker-1", ssh_dead=True)
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[dead]))
        begun = await user.launch("mute", workers=3)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster("mute")
        names = [each.name for each in instances(cluster)]
        assert names == ["mute-main-0", "mute-worker-0", "mute-worker-2", "mute-worker-3"]
        assert sorted(await servers_of(mesh, cluster.id)) == sorted(names)
        await user.delete("mute")
        assert await servers_of(mesh, cluster.id) == []


async def test_a_host_that_dies_in_the_middle_is_replaced(mesh: Mesh) -> None:
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        dying = Behavior(name_glob="dying-worker-0", ssh_dies_after=1)
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[dying]))
        begun = await user.launch("dying", workers=3)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster("dying")
        assert {each.state for each in instances(cluster)} == {Instance.STATE_READY}
        assert "dying-worker-0" not in [each.name for each in instances(cluster)]
        assert len(await servers_of(mesh, cluster.id)) == 4
        await user.delete("dying")


async def test_a_launch_that_fails_for_good_shows_evidence_and_leaves_nothing(mesh: Mesh) -> None:
    async with user_of(mesh) as user:
        configs: dict[str, str | int] = {
            "fake.fail.phase": "configure",
            "fake.fail.instances": "doomed-worker-*",
            "fake.fail.message": "no such disk",
            "fake.fail.exit_code": 3,
            "fake.tries": 1,
        }
        begun = await user.launch("doomed", workers=2, configs=configs)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_FAILED
        assert launch.failure.reason == "COMMAND_FAILED"
        assert launch.failure.instance.startswith("doomed-worker-")
        assert "configure" in launch.failure.command
        assert launch.failure.exit_code == 3
        assert "no such disk" in launch.failure.output_tail
        cluster = await user.cluster("doomed")
        assert cluster.state == Cluster.STATE_ERROR
        assert launch.failure.instance in cluster.status_description
        assert await servers_of(mesh, cluster.id) == []
        await user.delete("doomed")
