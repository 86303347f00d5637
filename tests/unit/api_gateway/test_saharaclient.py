"""Python-saharaclient 4.2, API version 2, works against the gateway as it is."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from keystoneauth1 import noauth, session, token_endpoint
from saharaclient.api.base import APIException
from saharaclient.client import Client

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1.cluster_service_pb2 import ProgressStep
from savanna.operation.v1.operation_pb2 import Operation, Task
from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.neighbours import NETWORK, PLAIN_IMAGE
from tests.unit.api_gateway.rest import V2_1
from tests.unit.api_gateway.test_grpc_work import TOKENS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.api_gateway.conftest import Front

FAKE = {"plugin_name": "fake", "plugin_version": "0.1"}
ANOTHER = "7f0c8e5a-3d41-4b6f-9a57-2c1e0d9b8f36"


def with_token(front: Front, token: str) -> Any:
    auth = token_endpoint.Token(f"{front.rest.base_url}/v2", token)
    return Client("2", session=session.Session(auth=auth))


def without_keystone(front: Front, path: str = "/v2") -> Any:
    plain = session.Session(auth=noauth.NoAuth())
    return Client("2", session=plain, sahara_url=f"{front.rest.base_url}{path}")


def become_active(front: Front, cluster_id: str) -> None:
    """What the engine does meanwhile."""
    stored = front.memory.clusters[cluster_id]
    stored.state = cluster_pb2.Cluster.STATE_ACTIVE
    for group in stored.node_groups:
        for index in range(len(group.instances), group.count):
            name = f"{stored.name}-{group.name}-{index + 1}"
            group.instances.add(
                id=str(uuid.uuid4()), name=name, state=cluster_pb2.Instance.STATE_READY
            )
    task = Task(id=str(uuid.uuid4()), state=Task.STATE_SUCCEEDED)
    front.memory.steps.append(
        ProgressStep(id=str(uuid.uuid4()), goal=Operation.GOAL_LAUNCH, title="Start", tasks=[task])
    )


def register_an_image(client: Any) -> None:
    client.images.update_image(PLAIN_IMAGE, "ubuntu", "for the fake plugin")
    client.images.update_tags(PLAIN_IMAGE, ["fake", "0.1"])
    image = client.images.get(PLAIN_IMAGE)
    assert (image.username, sorted(image.tags)) == ("ubuntu", ["0.1", "fake"])
    assert PLAIN_IMAGE in [each.id for each in client.images.list({"tags": ["fake"]})]


def make_templates(client: Any) -> Any:
    groups = [
        client.node_group_templates.create(
            name, flavor_id="2", node_processes=processes, volumes_per_node=0, **FAKE
        )
        for name, processes in (("master", ["namenode"]), ("worker", ["datanode"]))
    ]
    assert [each.name for each in client.node_group_templates.find(name="worker")] == ["worker"]
    changed = client.node_group_templates.update(groups[1].id, flavor_id="1")
    assert changed.flavor_id == "1"
    members = [
        {"name": each.name, "node_group_template_id": each.id, "count": count}
        for each, count in zip(groups, (1, 2), strict=True)
    ]
    template = client.cluster_templates.create(
        "ct", node_groups=members, net_id=NETWORK, default_image_id=PLAIN_IMAGE, **FAKE
    )
    assert client.cluster_templates.get(template.id).node_groups[1]["count"] == 2
    return template


def launch_and_scale(client: Any, front: Front, template: Any) -> Any:
    made = client.clusters.create("c1", cluster_template_id=template.id, **FAKE)
    assert made.status == "Validating"
    become_active(front, made.id)
    running = client.clusters.get(made.id, show_progress=True)
    assert running.status == "Active"
    assert [each["events"] for each in running.provision_progress] == [[]]
    first = running.node_groups[1]["instances"][0]["instance_name"]
    resize = [{"name": "worker", "count": 1, "instances": [first]}]
    scaled = client.clusters.scale(made.id, {"resize_node_groups": resize})
    assert scaled.cluster["status"] == "Validating"
    assert list(front.memory.scales[-1].node_groups[0].leaving) == [first]
    become_active(front, made.id)
    added = {"name": "more", "count": 1, "flavor_id": "1", "node_processes": ["datanode"]}
    client.clusters.scale(made.id, {"add_node_groups": [added]})
    become_active(front, made.id)
    assert len(client.clusters.get(made.id).node_groups) == 3
    return made


def run_a_job(client: Any, front: Front, cluster: Any) -> None:
    binary = client.job_binaries.create("wc.sh", f"internal-db://{uuid.uuid4()}")
    path = f"/job-binaries/{binary.id}/data"
    sent = client.job_binaries.api.put(path, data=b"echo hi", headers=V2_1)
    assert sent.status_code == 202
    assert client.job_binaries.get_file(binary.id) == b"echo hi"
    template = client.job_templates.create("wc", "Shell", mains=[binary.id])
    assert client.job_templates.get(template.id).mains[0]["name"] == "wc.sh"
    job = client.jobs.create(template.id, cluster.id, configs={"args": ["x"]})
    assert client.jobs.get(job.id).info == {"status": "PENDING"}
    assert client.jobs.refresh_status(job.id).id == job.id
    assert [each.id for each in client.jobs.list()] == [job.id]
    assert list(front.memory.jobs[job.id].configs.args) == ["x"]
    client.jobs.delete(job.id)
    client.job_templates.delete(template.id)
    client.job_binaries.delete(binary.id)
    assert front.memory.jobs == {}


def everything(client: Any, front: Front) -> None:
    assert [each.name for each in client.plugins.list()] == ["fake"]
    assert client.plugins.get_version_details("fake", "0.1").required_image_tags == ["fake", "0.1"]
    assert [each.name for each in client.job_types.list()] == ["Shell", "Spark"]
    register_an_image(client)
    template = make_templates(client)
    cluster = launch_and_scale(client, front, template)
    run_a_job(client, front, cluster)
    with pytest.raises(APIException) as caught:
        client.cluster_templates.delete(template.id)
    assert caught.value.error_name == "INVALID_REFERENCE"
    client.clusters.update(cluster.id, description="done")
    client.clusters.delete(cluster.id)
    assert client.clusters.get(cluster.id).status == "Deleting"
    assert client.clusters.force_delete(cluster.id) == {"stack_name": None}
    front.memory.clusters.clear()
    client.cluster_templates.delete(template.id)
    client.images.delete_tags(PLAIN_IMAGE)
    client.images.unregister_image(PLAIN_IMAGE)
    with pytest.raises(APIException) as caught:
        client.clusters.get(cluster.id)
    assert (caught.value.error_code, caught.value.error_name) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/v2", "/v2/some-project"])
async def test_everything_can_be_done_without_keystone(front: Front, path: str) -> None:
    await asyncio.to_thread(everything, without_keystone(front, path), front)


async def test_everything_can_be_done_with_a_token(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        await asyncio.to_thread(everything, with_token(front, "t1"), front)


async def test_pages_are_followed_by_their_markers(front: Front) -> None:
    def pages() -> None:
        client = without_keystone(front)
        for index in range(3):
            client.job_binaries.create(f"b{index}", "internal-db://")
        first = client.job_binaries.list(limit=2, sort_by="name")
        assert [each.name for each in first] == ["b0", "b1"]
        rest = client.job_binaries.list(limit=2, sort_by="name", marker=first.next)
        assert ([each.name for each in rest], rest.next) == (["b2"], None)

    await asyncio.to_thread(pages)


async def test_several_clusters_are_launched_at_once(front: Front) -> None:
    def launch() -> None:
        client = without_keystone(front)
        register_an_image(client)
        template = make_templates(client)
        made = client.clusters.create("c", cluster_template_id=template.id, count=2, **FAKE)
        assert [each["cluster"]["name"] for each in made.clusters] == ["c-1", "c-2"]

    await asyncio.to_thread(launch)


@pytest.mark.parametrize(
    ("code", "name", "ask"),
    [
        (400, "INVALID_REFERENCE", lambda it: it.clusters.create("c", "nope", "1")),
        (400, "VALIDATION_ERROR", lambda it: it.clusters.create("-c", **FAKE)),
        (404, "NOT_FOUND", lambda it: it.clusters.delete(ANOTHER)),
        (404, "NOT_FOUND", lambda it: it.jobs.get("nope")),
        (400, "NOT_FOUND", lambda it: it.job_templates.create("t", "Shell", mains=[ANOTHER])),
        (400, "NOT_IMPLEMENTED", lambda it: it.plugins.update("fake", {"plugin_labels": {}})),
    ],
)
async def test_refusals_reach_the_caller_with_code_and_name(
    front: Front, code: int, name: str, ask: Callable[[Any], object]
) -> None:
    def refused() -> None:
        with pytest.raises(APIException) as caught:
            ask(without_keystone(front))
        assert (caught.value.error_code, caught.value.error_name) == (code, name)
        assert "Error ID: " in caught.value.error_message

    await asyncio.to_thread(refused)


async def test_a_wrong_token_is_refused_in_words_that_the_client_reads(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:

        def refused() -> None:
            with pytest.raises(APIException) as caught:
                with_token(front, "nope").plugins.list()
            assert caught.value.error_code == 401

        await asyncio.to_thread(refused)
