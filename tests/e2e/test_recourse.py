"""What a user can do about an operation that went wrong, on a whole mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration

from savanna.api.v1.cluster_service_pb2 import RetryOperationRequest, RollbackOperationRequest
from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.operation.v1.operation_pb2 import (
    ON_FAILURE_CONTINUE,
    ON_FAILURE_KEEP,
    JournalEntry,
    Operation,
)
from savanna.simulator.v1.simulator_service_pb2 import AddBehaviorsRequest, Behavior
from tests.e2e.meshes import QUICK, servers_of, simulated_mesh, simulator_of, user_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from savanna_all_in_one.mesh import Mesh


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh of two engines on the simulated cloud."""
    folder = tmp_path_factory.mktemp("mesh")
    with simulated_mesh(folder, f"sqlite:///{folder}/savanna.db") as mesh:
        yield mesh


async def kill(mesh: Mesh, *names: str) -> None:
    """Let hosts never answer."""
    dead = [Behavior(name_glob=each, ssh_dead=True) for each in names]
    async with simulator_of(mesh) as simulator:
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=dead))


async def test_a_failed_launch_is_tried_again_until_it_is_active(mesh: Mesh) -> None:
    await kill(mesh, "again-worker-0", "again-worker-1")
    async with user_of(mesh) as user:
        begun = await user.launch("again", workers=1)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_FAILED
        assert await servers_of(mesh, begun.cluster.id) == []

        answer = await user.client.operations.RetryOperation(RetryOperationRequest(id=launch.id))
        second = await user.client.wait(answer.operation.id)

        assert second.state == Operation.STATE_SUCCEEDED, second.failure
        cluster = await user.cluster("again")
        assert (cluster.state, cluster.status_description) == (Cluster.STATE_ACTIVE, "")
        assert sorted(await servers_of(mesh, cluster.id)) == ["again-main-1", "again-worker-2"]
        await user.delete("again")


async def test_a_launch_that_is_kept_leaves_its_hosts_until_it_is_rolled_back(mesh: Mesh) -> None:
    await kill(mesh, "kept-worker-0", "kept-worker-1")
    async with user_of(mesh) as user:
        begun = await user.launch("kept", workers=1, on_failure=ON_FAILURE_KEEP)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_FAILED
        cluster = await user.cluster("kept")
        assert cluster.state == Cluster.STATE_ERROR
        assert "1 of 2 nodes are ready, and everything was left" in cluster.status_description
        assert await servers_of(mesh, cluster.id) == ["kept-main-0", "kept-worker-1"]

        answer = await user.client.operations.RollbackOperation(
            RollbackOperationRequest(id=launch.id)
        )
        back = await user.client.wait(answer.operation.id)

        assert back.state == Operation.STATE_SUCCEEDED, back.failure
        assert await servers_of(mesh, cluster.id) == []
        assert "rolled back by wish" in (await user.cluster("kept")).status_description
        await user.delete("kept")


async def test_a_launch_goes_on_without_hosts_that_fail_for_good(mesh: Mesh) -> None:
    await kill(mesh, "less-worker-1", "less-worker-2")
    async with user_of(mesh) as user:
        begun = await user.launch("less", workers=2, on_failure=ON_FAILURE_CONTINUE)
        launch = await user.client.wait(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster("less")
        assert cluster.state == Cluster.STATE_ACTIVE
        assert cluster.status_description.startswith("Active with 2 of 3 nodes; the others")
        assert [each.count for each in cluster.node_groups] == [1, 1]
        assert sorted(await servers_of(mesh, cluster.id)) == ["less-main-0", "less-worker-0"]
        await user.delete("less")


async def test_a_cluster_serves_while_slow_hosts_are_made(mesh: Mesh) -> None:
    slow = Behavior(name_glob="early-worker-1", boot_time=Duration(seconds=2))
    async with user_of(mesh) as user, simulator_of(mesh) as simulator:
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[slow]))
        begun = await user.launch("early", workers=2, min_ready=1)
        told = [
            entry.message
            async for entry in user.client.watch(operation_id=begun.operation.id)
            if entry.kind == JournalEntry.KIND_CLUSTER_CHANGED and entry.state == "Active"
        ]
        assert told == ["Active with 2 of 3 nodes; 1 is being made"]
        launch = await user.client.operation(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        cluster = await user.cluster("early")
        assert (cluster.state, cluster.status_description) == (Cluster.STATE_ACTIVE, "")
        await user.delete("early")


async def test_a_launch_that_takes_too_long_fails_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    settings = {**QUICK, "CONDUCTOR": {**QUICK["CONDUCTOR"], "LAUNCH_DEADLINE_SECONDS": "1"}}
    database = f"sqlite:///{tmp_path}/savanna.db"
    with simulated_mesh(tmp_path, database, settings, engines=1) as mesh:
        slow = Behavior(name_glob="late-*", boot_time=Duration(seconds=60))
        async with user_of(mesh) as user, simulator_of(mesh) as simulator:
            await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[slow]))
            begun = await user.launch("late", workers=1)
            launch = await user.client.wait(begun.operation.id)
            assert launch.state == Operation.STATE_FAILED
            assert launch.failure.reason == "DEADLINE_EXCEEDED"
            cluster = await user.cluster("late")
            assert "was not done before its deadline" in cluster.status_description
            assert await servers_of(mesh, cluster.id) == []
