"""Orphans, over gRPC and REST: for operators alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.api.v1.orphan_service_pb2 import CleanOrphanRequest, ListOrphansRequest
from savanna.cluster.v1.orphan_pb2 import (
    CLEAN_OUTCOME_ABSENT,
    CLEAN_OUTCOME_REMOVED,
    CLEAN_OUTCOME_REMOVING,
    Orphan,
)
from savanna_kit import errors
from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.rest import V2_1

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api_gateway.conftest import Front

TOKENS = """
- {token: t1, user_id: u1, user_name: ann, project_id: p1, project_name: one, roles: [member]}
- {token: t2, user_id: u2, user_name: bob, project_id: p2, project_name: two, roles: [admin]}
"""


async def test_orphans_are_listed_and_removed(front: Front) -> None:
    for name in ("s1", "s2", "s3"):
        front.cloud.leave(name)
    front.cloud.slow = {"s2"}
    front.cloud.foreign_servers = 2
    listed = await front.orphans.ListOrphans(ListOrphansRequest())
    assert [each.id for each in listed.orphans] == ["s1", "s2", "s3"]
    assert listed.foreign_servers == 2
    outcomes = [
        (await front.orphans.CleanOrphan(CleanOrphanRequest(id=each))).outcome
        for each in ("s1", "s2", "s1")
    ]
    assert outcomes == [CLEAN_OUTCOME_REMOVED, CLEAN_OUTCOME_REMOVING, CLEAN_OUTCOME_ABSENT]
    assert [each.id for each in front.cloud.orphans] == ["s2", "s3"]


async def test_what_can_not_be_removed_is_told_in_the_engines_words(front: Front) -> None:
    front.cloud.alive, front.cloud.stuck = {"s1"}, {"s2"}
    clean = front.orphans.CleanOrphan
    with pytest.raises(errors.FailedPrecondition, match="s1 is no orphan") as told:
        await clean(CleanOrphanRequest(id="s1"))
    assert told.value.reason == "NOT_AN_ORPHAN"
    with pytest.raises(errors.Unavailable, match="the cloud does not let go of s2"):
        await clean(CleanOrphanRequest(id="s2"))
    with pytest.raises(errors.InvalidArgument, match="say which orphan"):
        await clean(CleanOrphanRequest())


async def test_only_operators_may_look_and_remove(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        front.cloud.leave("s1", project_id="p1")
        ann = [("authorization", "Bearer t1"), ("x-savanna-roles", "admin")]
        with pytest.raises(errors.Unauthenticated):
            await front.orphans.ListOrphans(ListOrphansRequest())
        with pytest.raises(errors.PermissionDenied, match="needs the role admin"):
            await front.orphans.ListOrphans(ListOrphansRequest(), metadata=ann)
        with pytest.raises(errors.PermissionDenied, match="needs the role admin"):
            await front.orphans.CleanOrphan(CleanOrphanRequest(id="s1"), metadata=ann)
        for method, path in (("GET", "/v2/orphans"), ("DELETE", "/v2/orphans/s1")):
            headers = {**V2_1, "X-Auth-Token": "t1"}
            refused = await front.rest.request(method, path, headers=headers)
            assert refused.status_code == 403, refused.text
        assert [each.id for each in front.cloud.orphans] == ["s1"]
        bob = [("authorization", "Bearer t2")]
        answer = await front.orphans.ListOrphans(ListOrphansRequest(), metadata=bob)
        assert [each.project_id for each in answer.orphans] == ["p1"]


async def test_orphans_over_rest(front: Front) -> None:
    reason = Orphan.REASON_CLUSTER_UNKNOWN
    front.cloud.leave("s1", name="c-m-0", cluster_id="c", project_id="p", reason=reason)
    listed = await front.rest.get("/v2/orphans", headers=V2_1)
    assert listed.json() == {
        "orphans": [
            {
                "created_at": "2026-01-01T00:00:00",
                "id": "s1",
                "name": "c-m-0",
                "instance_id": None,
                "cluster_id": "c",
                "reason": "cluster_unknown",
                "project_id": "p",
            }
        ]
    }
    for outcome in ("removed", "absent"):
        answer = await front.rest.delete("/v2/orphans/s1", headers=V2_1)
        assert (answer.status_code, answer.json()) == (
            200,
            {"orphan": {"id": "s1", "outcome": outcome}},
        )
    front.cloud.alive = {"s2"}
    refused = await front.rest.delete("/v2/orphans/s2", headers=V2_1)
    assert (refused.status_code, refused.json()["error_name"]) == (400, "NOT_AN_ORPHAN")


async def test_sahara_knows_no_orphans(front: Front) -> None:
    answer = await front.rest.get("/v2/orphans")
    assert answer.status_code == 404
    assert "data-processing 2.1" in answer.json()["error_message"]
