"""What is left in the cloud is found and removed, and nothing else is touched."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration

from savanna.api.v1.orphan_service_pb2 import CleanOrphanRequest, ListOrphansRequest
from savanna.cluster.v1.orphan_pb2 import (
    CLEAN_OUTCOME_ABSENT,
    CLEAN_OUTCOME_REMOVED,
    CleanOutcome,
    Orphan,
)
from savanna.operation.v1.operation_pb2 import Operation
from savanna.simulator.v1 import simulator_service_pb2_grpc
from savanna.simulator.v1.simulator_service_pb2 import (
    AddBehaviorsRequest,
    Behavior,
    CreateServerRequest,
    DeleteServerRequest,
    ListServersRequest,
    Server,
)
from savanna_kit import errors
from savanna_kit.channels import connect
from tests.e2e.meshes import simulator_of, user_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna_all_in_one.mesh import Mesh
    from tests.e2e.user import User


class Cloud:
    """The simulated cloud, behind Savanna's back."""

    def __init__(self, stub: simulator_service_pb2_grpc.SimulatedCloudServiceAsyncStub) -> None:
        self._stub = stub

    async def servers(self, cluster_id: str) -> list[Server]:
        wanted = ListServersRequest(metadata={"savanna_cluster": cluster_id})
        return list((await self._stub.ListServers(wanted)).servers)

    async def names(self, cluster_id: str) -> list[str]:
        return sorted(each.name for each in await self.servers(cluster_id))

    async def leave(self, like: Server, **marks: str) -> Server:
        """Make one more server with the marks of another one, but for these."""
        changed = {f"savanna_{name}": value for name, value in marks.items()}
        request = CreateServerRequest(
            name="left",
            flavor_id="1",
            image_id="any",
            metadata={**like.metadata, "savanna_instance": str(uuid.uuid4()), **changed},
        )
        return (await self._stub.CreateServer(request)).server

    async def remove(self, server: Server) -> None:
        await self._stub.DeleteServer(DeleteServerRequest(id=server.id))


@asynccontextmanager
async def cloud_of(mesh: Mesh) -> AsyncIterator[Cloud]:
    async with connect(mesh.plan.address("simulator")) as channel:
        yield Cloud(simulator_service_pb2_grpc.SimulatedCloudServiceStub(channel))


async def orphans(user: User) -> list[Orphan]:
    return list((await user.client.orphans.ListOrphans(ListOrphansRequest())).orphans)


async def clean(user: User, server_id: str) -> CleanOutcome.ValueType:
    request = CleanOrphanRequest(id=server_id)
    return (await user.client.orphans.CleanOrphan(request)).outcome


async def launched(user: User, name: str) -> str:
    """Launch a cluster of two nodes and give its id."""
    begun = await user.launch(name, workers=1)
    launch = await user.client.wait(begun.operation.id)
    assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
    return begun.cluster.id


async def test_orphans_are_found_and_removed_beside_what_lives_and_what_is_just_made(
    mesh: Mesh,
) -> None:
    # The meshes of tests give no grace: only the order of the looks keeps the newcomers safe.
    late = Behavior(name_glob="newer-*", create_time=Duration(nanos=400_000_000))
    async with user_of(mesh) as user, cloud_of(mesh) as cloud, simulator_of(mesh) as simulator:
        await simulator.AddBehaviors(AddBehaviorsRequest(behaviors=[late]))
        living = (await cloud.servers(await launched(user, "older")))[0]
        first = await cloud.leave(living)
        second = await cloud.leave(living, cluster=str(uuid.uuid4()))
        copy = await cloud.leave(living, instance=living.metadata["savanna_instance"])
        foreign = await cloud.leave(living, deployment=str(uuid.uuid4()))
        newer = await user.launch("newer", workers=1)
        async with asyncio.timeout(10):
            while not (newcomers := await cloud.servers(newer.cluster.id)):
                await asyncio.sleep(0.02)

        found = await orphans(user)

        assert [(each.id, each.reason) for each in found] == [
            (first.id, Orphan.REASON_INSTANCE_UNKNOWN),
            (second.id, Orphan.REASON_CLUSTER_UNKNOWN),
            (copy.id, Orphan.REASON_DUPLICATE),
        ]
        for outcome in (CLEAN_OUTCOME_REMOVED, CLEAN_OUTCOME_ABSENT):
            assert [await clean(user, each.id) for each in found] == [outcome] * 3
        for server in (living, newcomers[0], foreign):
            with pytest.raises(errors.FailedPrecondition, match="is no orphan"):
                await clean(user, server.id)
        launch = await user.client.wait(newer.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure
        older = ["left", "older-main-0", "older-worker-0"]
        assert await cloud.names(living.metadata["savanna_cluster"]) == older
        assert await cloud.names(newer.cluster.id) == ["newer-main-0", "newer-worker-0"]
        await cloud.remove(foreign)
        for name in ("older", "newer"):
            await user.delete(name)
        assert await orphans(user) == []
