"""Requests that are sent again with their key are done once, by REST and by gRPC."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from savanna.api.v1 import cluster_service_pb2 as clu
from savanna_kit import errors
from savanna_kit.context import KEY_HEADER
from tests.unit.api_gateway.orders import cluster as message
from tests.unit.api_gateway.rest import WORKER, cluster

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front

TEMPLATE = {"plugin_name": "fake", "plugin_version": "0.1", "node_groups": []}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("node-group-templates", WORKER),
        ("cluster-templates", {"name": "t", **TEMPLATE}),
        ("job-binaries", {"name": "b", "url": "internal-db://"}),
        ("job-templates", {"name": "j", "type": "Shell"}),
        ("clusters", cluster()),
    ],
)
async def test_a_post_with_a_key_is_done_once(
    front: Front, path: str, body: dict[str, Any]
) -> None:
    if path == "job-templates":
        main = await front.rest.post(
            "/v2/job-binaries", json={"name": "main", "url": "internal-db://"}
        )
        body = {**body, "mains": [main.json()["job_binary"]["id"]]}
    key = {KEY_HEADER: str(uuid.uuid4())}
    answers = [await front.rest.post(f"/v2/{path}", json=body, headers=key) for _ in range(2)]
    assert [each.status_code for each in answers] == [202, 202], answers[1].text
    ids = {made["id"] for each in answers for made in each.json().values()}
    assert len(ids) == 1


async def test_a_key_that_is_too_long_is_refused(front: Front) -> None:
    long = "k" * 65
    answer = await front.rest.post("/v2/clusters", json=cluster(), headers={KEY_HEADER: long})
    assert answer.status_code == 400
    assert "65 characters, and 64 is the most\nGive a UUID" in answer.json()["error_message"]
    with pytest.raises(errors.InvalidArgument, match="request_id has 65 characters, and 64 is"):
        await front.clusters.CreateCluster(
            clu.CreateClusterRequest(cluster=message(), request_id=long)
        )
    assert front.memory.clusters == {}


async def test_a_key_beside_a_message_counts_where_the_message_has_none(front: Front) -> None:
    request = clu.CreateClusterRequest(cluster=message())
    beside = ((KEY_HEADER, str(uuid.uuid4())),)
    first = await front.clusters.CreateCluster(request, metadata=beside)
    second = await front.clusters.CreateCluster(request, metadata=beside)
    assert first.cluster.id == second.cluster.id
    other = clu.CreateClusterRequest(cluster=message("c2"), request_id=str(uuid.uuid4()))
    third = await front.clusters.CreateCluster(other, metadata=beside)
    assert third.cluster.id != first.cluster.id
