"""Requests that are sent again with their key are done once, by REST and by gRPC."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from savanna.api.v1 import cluster_service_pb2 as clu
from savanna.operation.v1.operation_pb2 import ON_FAILURE_KEEP
from savanna_kit import errors
from savanna_kit.context import KEY_HEADER
from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.orders import active
from tests.unit.api_gateway.orders import cluster as message
from tests.unit.api_gateway.rest import WORKER, cluster

if TYPE_CHECKING:
    from pathlib import Path

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


@pytest.mark.parametrize(
    ("path", "body"), [("node-group-templates", WORKER), ("clusters", cluster())]
)
async def test_what_the_first_try_used_up_is_not_held_against_the_second(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    key = {KEY_HEADER: str(uuid.uuid4())}
    async with opened(tmp_path, cloud_cache_seconds=0) as front:
        first = await front.rest.post(f"/v2/{path}", json=body, headers=key)
        front.cloud.is_full = True
        again = await front.rest.post(f"/v2/{path}", json=body, headers=key)
        assert (again.status_code, again.json()) == (202, first.json())
        for other in ({}, {KEY_HEADER: str(uuid.uuid4())}):
            refused = await front.rest.post(f"/v2/{path}", json=body, headers=other)
            assert refused.status_code == 400, refused.text


async def test_a_job_that_was_asked_for_before_is_not_refused_for_what_is_gone(
    front: Front,
) -> None:
    made = await active(front)
    binary = await front.rest.post(
        "/v2/job-binaries", json={"name": "main", "url": "internal-db://"}
    )
    binary_id = binary.json()["job_binary"]["id"]
    front.memory.items["job_binary", binary_id].size = 1
    body = {"name": "j", "type": "Shell", "mains": [binary_id]}
    key = {KEY_HEADER: str(uuid.uuid4())}
    template = await front.rest.post("/v2/job-templates", json=body, headers=key)
    template_id = template.json()["job_template"]["id"]
    asked = {"cluster_id": made.id, "job_template_id": template_id}
    job_key = {KEY_HEADER: str(uuid.uuid4())}
    first = await front.rest.post("/v2/jobs", json=asked, headers=job_key)
    assert first.status_code == 202, first.text
    front.memory.items.clear()
    again = await front.rest.post("/v2/jobs", json=asked, headers=job_key)
    assert again.json()["job"]["id"] == first.json()["job"]["id"]
    assert (await front.rest.post("/v2/jobs", json=asked)).status_code == 400
    again = await front.rest.post("/v2/job-templates", json=body, headers=key)
    assert again.json()["job_template"]["id"] == template_id


@pytest.mark.parametrize(
    ("path", "body"), [("node-group-templates", WORKER), ("clusters", cluster())]
)
async def test_a_key_of_another_request_is_refused(
    front: Front, path: str, body: dict[str, Any]
) -> None:
    key = {KEY_HEADER: str(uuid.uuid4())}
    first = await front.rest.post(f"/v2/{path}", json=body, headers=key)
    assert first.status_code == 202, first.text
    other = await front.rest.post(f"/v2/{path}", json={**body, "name": "other"}, headers=key)
    assert (other.status_code, other.json()["error_name"]) == (400, "REQUEST_ID_USED")
    # In another order it is the same request.
    turned = dict(reversed(body.items()))
    again = await front.rest.post(f"/v2/{path}", json=turned, headers=key)
    assert again.json() == first.json()


async def test_a_key_of_another_message_is_refused(front: Front) -> None:
    key = str(uuid.uuid4())
    await front.clusters.CreateCluster(clu.CreateClusterRequest(cluster=message(), request_id=key))
    for wanted in (
        clu.CreateClusterRequest(cluster=message("c2"), request_id=key),
        clu.CreateClusterRequest(cluster=message(), request_id=key, on_failure=ON_FAILURE_KEEP),
    ):
        with pytest.raises(errors.InvalidArgument, match="was used for another request"):
            await front.clusters.CreateCluster(wanted)
    assert len(front.memory.clusters) == 1


async def test_each_kind_of_call_has_keys_of_its_own(front: Front) -> None:
    key = {KEY_HEADER: str(uuid.uuid4())}
    for path, body in (("node-group-templates", WORKER), ("clusters", cluster())):
        answer = await front.rest.post(f"/v2/{path}", json=body, headers=key)
        assert answer.status_code == 202, answer.text


async def test_a_refused_request_may_be_mended_and_sent_with_its_key(front: Front) -> None:
    key = {KEY_HEADER: str(uuid.uuid4())}
    wrong = {**cluster(), "plugin_version": "9"}
    assert (await front.rest.post("/v2/clusters", json=wrong, headers=key)).status_code == 400
    mended = await front.rest.post("/v2/clusters", json=cluster(), headers=key)
    assert mended.status_code == 202, mended.text


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
