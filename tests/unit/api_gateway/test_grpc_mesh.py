"""How the mesh stands, over the public gRPC API: for operators alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.api.v1.mesh_service_pb2 import GetMeshStatusRequest
from savanna.mesh.v1.mesh_pb2 import LIVENESS_ALIVE, MeshStatus, Scheduler
from savanna_kit import errors
from tests.unit.api_gateway.conftest import opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api_gateway.conftest import Front

MESH = MeshStatus(schedulers=[Scheduler(scheduler_id="s1", liveness=LIVENESS_ALIVE)])
TOKENS = """
- {token: t1, user_id: u1, user_name: ann, project_id: p1, project_name: one, roles: [member]}
- {token: t2, user_id: u2, user_name: bob, project_id: p2, project_name: two, roles: [admin]}
"""


async def test_without_authentication_the_one_user_is_an_operator(front: Front) -> None:
    front.memory.mesh = MESH
    answer = await front.mesh.GetMeshStatus(GetMeshStatusRequest())
    assert answer.status == MESH


async def test_only_operators_see_the_mesh(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        front.memory.mesh = MESH
        ask = front.mesh.GetMeshStatus
        with pytest.raises(errors.Unauthenticated):
            await ask(GetMeshStatusRequest())
        claimed = [("authorization", "Bearer t1"), ("x-savanna-roles", "admin")]
        with pytest.raises(errors.PermissionDenied, match="needs the role admin: use a token"):
            await ask(GetMeshStatusRequest(), metadata=claimed)
        allowed = [("authorization", "Bearer t2")]
        assert (await ask(GetMeshStatusRequest(), metadata=allowed)).status == MESH
