"""Operations over REST: Savanna's own addition to v2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.operation.v1.operation_pb2 import ON_FAILURE_CONTINUE, ON_FAILURE_KEEP, Failure
from tests.unit.api_gateway.rest import MASTER, V2_1, cluster, created

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front


async def test_operations_are_listed_shown_tried_again_and_rolled_back(front: Front) -> None:
    made = await created(front, "clusters", cluster())
    (stored,) = front.memory.operations.values()
    stored.state = stored.STATE_FAILED
    stored.failure.CopyFrom(Failure(reason="COMMAND_FAILED", message="no disk", exit_code=3))

    listed = await front.rest.get(f"/v2/operations?cluster_id={made['id']}", headers=V2_1)
    (one,) = listed.json()["operations"]
    assert (one["id"], one["goal"], one["state"]) == (stored.id, "launch", "FAILED")
    assert one["failure"]["exit_code"] == 3
    shown = await front.rest.get(f"/v2/operations/{stored.id}", headers=V2_1)
    assert shown.json() == {"operation": one}
    for action, field in (("retry", "retry_of"), ("rollback", "rollback_of")):
        answer = await front.rest.post(f"/v2/operations/{stored.id}/{action}", headers=V2_1)
        assert answer.status_code == 202, answer.text
        assert answer.json()["operation"][field] == stored.id
    answer = await front.rest.post(f"/v2/operations/{stored.id}/cancel", headers=V2_1)
    assert answer.json()["operation"]["cancel_requested"] is True


async def test_users_say_what_becomes_of_a_failure(front: Front) -> None:
    body = cluster(on_failure="keep")
    refused = await front.rest.post("/v2/clusters", json=body)
    assert refused.status_code == 400
    made = await front.rest.post("/v2/clusters", json=body, headers=V2_1)
    assert made.status_code == 202, made.text
    (stored,) = front.memory.operations.values()
    assert stored.on_failure == ON_FAILURE_KEEP
    path = f"/v2/clusters/{made.json()['cluster']['id']}"
    front.memory.clusters[stored.cluster_id].state = Cluster.STATE_ACTIVE
    resize = {"resize_node_groups": [{"name": "m", "count": 1}], "on_failure": "continue"}
    assert (await front.rest.put(path, json=resize)).status_code == 400
    scaled = await front.rest.put(path, json=resize, headers=V2_1)
    assert scaled.status_code == 202, scaled.text
    assert list(front.memory.operations.values())[-1].on_failure == ON_FAILURE_CONTINUE
    shown = await front.rest.get(f"/v2/operations/{stored.id}", headers=V2_1)
    assert shown.json()["operation"]["on_failure"] == "keep"


async def test_users_say_what_may_go_wrong_with_nodes(front: Front) -> None:
    policy = {"min_ready": 1, "replace": 0, "grace": 30}
    body = cluster(node_groups=[{**MASTER, "node_policy": policy}])
    assert (await front.rest.post("/v2/clusters", json=body)).status_code == 400
    made = await front.rest.post("/v2/clusters", json=body, headers=V2_1)
    assert made.status_code == 202, made.text
    assert "node_policy" not in made.json()["cluster"]["node_groups"][0]
    (stored,) = front.memory.clusters.values()
    kept = stored.node_groups[0].spec.node_policy
    assert (kept.min_ready, kept.replace, kept.grace.seconds) == (1, 0, 30)


async def test_sahara_knows_no_operations(front: Front) -> None:
    answer = await front.rest.get("/v2/operations")
    assert answer.status_code == 404
    assert "data-processing 2.1" in answer.json()["error_message"]


async def test_an_operation_that_can_not_be_tried_again_says_why(front: Front) -> None:
    await created(front, "clusters", cluster())
    (stored,) = front.memory.operations
    answer = await front.rest.post(f"/v2/operations/{stored}/retry", headers=V2_1)
    assert answer.status_code in (400, 409)
    assert "has not ended" in answer.json()["error_message"]
