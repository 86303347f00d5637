"""``savanna status`` on a whole mesh: who lives, who owns what, and who was killed."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

from savanna.api.v1.mesh_service_pb2 import GetMeshStatusRequest
from savanna.mesh.v1.mesh_pb2 import LIVENESS_ALIVE, LIVENESS_ENDED, LIVENESS_SILENT
from savanna.operation.v1.operation_pb2 import Operation
from savanna_cli.main import run
from tests.e2e.meshes import user_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna.mesh.v1.mesh_pb2 import MeshStatus
    from savanna_all_in_one.mesh import Mesh
    from tests.e2e.user import User


async def seen(user: User, wanted: Callable[[MeshStatus], bool]) -> MeshStatus:
    """Look until the mesh is so."""
    async with asyncio.timeout(20):
        while True:
            answer = await user.client.mesh.GetMeshStatus(GetMeshStatusRequest())
            if wanted(answer.status):
                return answer.status
            await asyncio.sleep(0.05)


async def told(mesh: Mesh) -> str:
    """Give what the command says."""
    out, err = io.StringIO(), io.StringIO()
    environ = {"SAVANNA_ADDRESS": mesh.plan.grpc, "HOME": str(mesh.plan.folder)}
    assert await run(["status"], out=out, err=err, environ=environ) == 0, err.getvalue()
    return out.getvalue()


async def test_the_status_tells_what_engines_do_and_which_of_them_was_killed(mesh: Mesh) -> None:
    async with user_of(mesh) as user:
        begun = await user.launch("shown", workers=2, configs={"fake.delay.configure": 1000})

        def configures(status: MeshStatus) -> bool:
            return any(each.oldest.task_key.startswith("configure/") for each in status.engines)

        status = await seen(user, configures)
        [scheduler] = [each for each in status.schedulers if each.liveness == LIVENESS_ALIVE]
        [operation] = [
            each for each in status.operations if each.operation.id == begun.operation.id
        ]
        assert operation.scheduler_id == scheduler.scheduler_id
        assert scheduler.operations >= 1
        pools = {load.pool: load.slots for each in status.engines for load in each.pools}
        assert pools == {"ssh": 16, "cloud": 16, "plan": 4}
        shown = await told(mesh)
        assert "launch of shown" in shown
        assert "engine-1" in shown
        victim = next(each.engine_id for each in status.engines if each.HasField("oldest"))
        mesh.kill(victim)
        try:

            def is_missed(status: MeshStatus) -> bool:
                lives = {each.engine_id: each.liveness for each in status.engines}
                return lives[victim] in (LIVENESS_SILENT, LIVENESS_ENDED)

            await seen(user, is_missed)
            launch = await user.client.wait(begun.operation.id)
        finally:
            mesh.start(victim)
            mesh.wait(victim)
        assert launch.state == Operation.STATE_SUCCEEDED, launch.failure

        def is_back(status: MeshStatus) -> bool:
            lives = [each.liveness for each in status.engines if each.engine_id == victim]
            return lives == [LIVENESS_ALIVE]

        await seen(user, is_back)
        await user.delete("shown")
