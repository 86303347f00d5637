"""What REST shows of each resource: names, order and values, as Sahara's v2 has them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1.cluster_service_pb2 import ProgressStep
from savanna.operation.v1.operation_pb2 import Failure, Operation, Task, TaskSpec
from tests.unit.api_gateway.neighbours import IMAGE, NETWORK, PLAIN_IMAGE
from tests.unit.api_gateway.rest import WORKER, cluster, created, same, shown

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front

NG: dict[str, Any] = {
    "flavor_id": "2",
    "image_id": None,
    "node_processes": ["datanode", "tasktracker"],
    "node_configs": {},
    "volumes_per_node": 0,
    "volumes_size": 0,
    "volumes_availability_zone": None,
    "volume_mount_prefix": "/volumes/disk",
    "volume_type": None,
    "boot_from_volume": False,
    "boot_volume_type": None,
    "boot_volume_availability_zone": None,
    "boot_volume_local_to_instance": False,
}
NG2 = {
    "floating_ip_pool": None,
    "security_groups": None,
    "auto_security_group": False,
    "availability_zone": None,
    "is_proxy_gateway": False,
    "volume_local_to_instance": False,
}


async def test_a_node_group_template_is_shown_field_by_field(front: Front) -> None:
    made = await created(front, "node-group-templates", WORKER)
    assert "updated_at" not in made
    assert "description" not in made
    got = (await shown(front, f"node-group-templates/{made['id']}"))["node_group_template"]
    same(
        got,
        {
            "created_at": made["created_at"],
            "updated_at": None,
            "id": made["id"],
            "name": "worker",
            "description": None,
            "flavor_id": "2",
            "image_id": None,
            "plugin_name": "fake",
            **{name: value for name, value in NG.items() if name not in ("flavor_id", "image_id")},
            **NG2,
            "is_default": False,
            "use_autoconfig": True,
            "shares": None,
            "is_public": False,
            "is_protected": False,
            "plugin_version": "0.1",
            "project_id": "default",
        },
    )
    assert len(got["created_at"]) == len("2026-01-01T00:00:00")
    export = await front.rest.get(f"/v2/node-group-templates/{made['id']}/export")
    assert export.headers["content-disposition"].endswith("filename=node_group_template.json")
    assert export.json()["node_group_template"]["flavor_id"] == "{flavor_id}"
    assert "id" not in export.json()["node_group_template"]


async def test_a_cluster_template_is_filled_from_node_group_templates(front: Front) -> None:
    worker = await created(
        front, "node-group-templates", {**WORKER, "node_configs": {"HDFS": {"dfs.replication": 2}}}
    )
    group = {"name": "w", "count": 1, "node_group_template_id": worker["id"]}
    made = await created(
        front,
        "cluster-templates",
        {
            "name": "ct",
            "plugin_name": "fake",
            "plugin_version": "0.1",
            "node_groups": [group],
        },
    )
    (shown_group,) = made["node_groups"]
    same(
        shown_group,
        {
            "created_at": made["created_at"],
            "updated_at": None,
            "id": shown_group["id"],
            "name": "w",
            **NG,
            "node_configs": {"HDFS": {"dfs.replication": 2}},
            "count": 1,
            "use_autoconfig": True,
            "node_group_template_id": worker["id"],
            **NG2,
            "shares": None,
        },
    )
    got = (await shown(front, f"cluster-templates/{made['id']}"))["cluster_template"]
    same(got, made)
    listed = await shown(front, "cluster-templates?plugin_name=fake&name=ct")
    assert [each["id"] for each in listed["cluster_templates"]] == [made["id"]]
    none = await shown(front, "cluster-templates?plugin_version=9")
    assert none == {"cluster_templates": []}


async def test_a_patch_changes_what_it_names_and_nothing_else(front: Front) -> None:
    made = await created(front, "node-group-templates", {**WORKER, "description": "old"})
    path = f"/v2/node-group-templates/{made['id']}"
    answer = await front.rest.patch(path, json={"flavor_id": "1", "description": None})
    assert answer.status_code == 202
    changed = answer.json()["node_group_template"]
    assert (changed["flavor_id"], changed["description"]) == ("1", None)
    assert changed["node_processes"] == WORKER["node_processes"]
    assert changed["updated_at"] is not None
    same((await front.rest.patch(path, json={})).json()["node_group_template"], changed)


async def test_a_cluster_is_shown_field_by_field(front: Front) -> None:
    made = await created(front, "clusters", cluster(is_transient=False, description=None))
    assert made["status"] == "Validating"
    (group,) = made["node_groups"]
    same(
        made,
        {
            "created_at": made["created_at"],
            "updated_at": made["updated_at"],
            "id": made["id"],
            "name": "c1",
            "description": None,
            "trust_id": None,
            "is_transient": False,
            "plugin_name": "fake",
            "cluster_configs": {},
            "default_image_id": IMAGE,
            "neutron_management_network": NETWORK,
            "anti_affinity": [],
            "anti_affinity_ratio": 1,
            "management_public_key": "ssh-ed25519 AAAA Generated-by-Savanna",
            "user_keypair_id": None,
            "status": "Validating",
            "status_description": "",
            "info": {},
            "use_autoconfig": True,
            "cluster_template_id": None,
            "shares": None,
            "is_public": False,
            "is_protected": False,
            "domain_name": None,
            "node_groups": [group],
            "provision_progress": [],
            "plugin_version": "0.1",
            "project_id": "default",
        },
    )
    assert group["instances"] == []
    same((await shown(front, f"clusters/{made['id']}"))["cluster"], made)
    assert await shown(front, "clusters?name=c1") == {"clusters": [made]}


async def test_instances_and_progress_of_a_cluster_are_shown(front: Front) -> None:
    made = await created(front, "clusters", cluster())
    stored = front.memory.clusters[made["id"]]
    stored.state = cluster_pb2.Cluster.STATE_STARTING
    instance = stored.node_groups[0].instances.add(
        id=str(uuid.uuid4()),
        name="c1-m-1",
        provider_id="srv",
        internal_ip="10.0.0.1",
        management_ip="10.0.0.1",
    )
    failed = Task(
        id=str(uuid.uuid4()),
        spec=TaskSpec(instance="c1-m-1", title="Start"),
        state=Task.STATE_FAILED,
        failure=Failure(message="exit code 1"),
    )
    done = Task(id=str(uuid.uuid4()), spec=TaskSpec(title="Start"), state=Task.STATE_SUCCEEDED)
    waiting = Task(id=str(uuid.uuid4()), spec=TaskSpec(title="End"), state=Task.STATE_PENDING)
    for title, tasks in (("Make", [done]), ("Start", [done, failed]), ("End", [done, waiting])):
        front.memory.steps.append(
            ProgressStep(id=str(uuid.uuid4()), goal=Operation.GOAL_LAUNCH, title=title, tasks=tasks)
        )
    got = (await shown(front, f"clusters/{made['id']}?show_progress=True"))["cluster"]
    assert got["status"] == "Starting"
    (one,) = got["node_groups"][0]["instances"]
    same(
        one,
        {
            "created_at": None,
            "updated_at": None,
            "id": instance.id,
            "instance_id": "srv",
            "instance_name": "c1-m-1",
            "internal_ip": "10.0.0.1",
            "management_ip": "10.0.0.1",
            "storage_devices_number": 0,
            "dns_hostname": None,
        },
    )
    steps = got["provision_progress"]
    assert [(each["step_name"], each["total"], each["successful"]) for each in steps] == [
        ("Make", 1, True),
        ("Start", 2, False),
        ("End", 2, None),
    ]
    assert [len(each["events"]) for each in steps] == [0, 1, 1]
    (event,) = steps[1]["events"]
    assert (event["event_info"], event["instance_name"]) == ("exit code 1", "c1-m-1")
    quiet = (await shown(front, f"clusters/{made['id']}"))["cluster"]["provision_progress"]
    assert all("events" not in each for each in quiet)
    same({**quiet[0]}, {name: value for name, value in steps[0].items() if name != "events"})


async def test_steps_are_read_again_only_when_they_can_have_changed(front: Front) -> None:
    made = await created(front, "clusters", cluster())
    stored = front.memory.clusters[made["id"]]

    async def titles() -> list[str]:
        got = await shown(front, f"clusters/{made['id']}")
        return [each["step_name"] for each in got["cluster"]["provision_progress"]]

    def begin(title: str) -> None:
        stored.operation_id = str(uuid.uuid4())
        front.memory.steps.append(ProgressStep(id=str(uuid.uuid4()), title=title))

    begin("Launch")
    assert await titles() == ["Launch"]
    front.memory.steps[0].title = "Launched"
    assert await titles() == ["Launched"], "what goes on is read each time"
    stored.operation_id = ""
    stored.update_time.FromSeconds(1)
    looks = front.memory.looks_at_progress
    assert [await titles() for _ in range(3)] == [["Launched"]] * 3
    assert front.memory.looks_at_progress == looks + 1
    begin("Delete")
    assert await titles() == ["Launched", "Delete"]
    stored.operation_id = ""
    stored.update_time.FromSeconds(2)
    front.memory.steps[1].title = "Deleted in vain"
    assert await titles() == ["Launched", "Deleted in vain"]


async def test_several_clusters_come_of_one_request(front: Front) -> None:
    answer = await front.rest.post("/v2/clusters", json=cluster(count=2))
    assert answer.status_code == 202
    names = [each["cluster"]["name"] for each in answer.json()["clusters"]]
    assert names == ["c1-1", "c1-2"]
    assert len(front.memory.clusters) == 2


async def test_a_cluster_is_changed_and_removed(front: Front) -> None:
    made = await created(front, "clusters", cluster())
    path = f"/v2/clusters/{made['id']}"
    answer = await front.rest.patch(path, json={"name": "c2", "is_public": True})
    assert answer.status_code == 202
    assert answer.json()["cluster"]["name"] == "c2"
    for body, name in (
        ({"verification": {"status": "START"}}, "CANNOT_VERIFY"),
        ({"update_keypair": True}, "NOT_IMPLEMENTED"),
    ):
        answer = await front.rest.patch(path, json=body)
        assert (answer.status_code, answer.json()["error_name"]) == (400, name)
    gone = await front.rest.delete(path)
    assert (gone.status_code, gone.content) == (204, b"")
    forced = await front.rest.request("DELETE", path, json={"force": True})
    assert (forced.status_code, forced.json()) == (200, {"stack_name": None})


async def test_images_are_registered_tagged_and_forgotten(front: Front) -> None:
    got = (await shown(front, f"images/{IMAGE}"))["image"]
    same(
        got,
        {
            "OS-EXT-IMG-SIZE:size": 1234,
            "metadata": {
                "_sahara_username": "ubuntu",
                "_sahara_description": "d",
                "_sahara_tag_0.1": "True",
                "_sahara_tag_fake": "True",
            },
            "minDisk": 0,
            "minRam": 0,
            "progress": 100,
            "status": "ACTIVE",
            "created": "2026-01-01T00:00:00Z",
            "updated": "2026-01-01T00:00:00Z",
            "username": "ubuntu",
            "description": "d",
            "tags": ["0.1", "fake"],
            "id": IMAGE,
            "name": "fake-0.1",
        },
    )
    path = f"/v2/images/{PLAIN_IMAGE}"
    assert (await shown(front, f"images/{PLAIN_IMAGE}/tags")) == {}
    assert len((await shown(front, "images"))["images"]) == 1
    registered = await front.rest.post(path, json={"username": "root"})
    assert (registered.status_code, registered.json()["image"]["username"]) == (202, "root")
    tagged = await front.rest.put(f"{path}/tags", json={"tags": ["spark", "x"]})
    assert (tagged.status_code, tagged.json()["image"]["tags"]) == (200, ["spark", "x"])
    assert (await shown(front, f"images/{PLAIN_IMAGE}/tags")) == ["spark", "x"]
    for query, found in (
        ("tags=spark", 1),
        ("tags=spark&tags=fake", 0),
        ("name=plain", 1),
        ("username=any", 2),
    ):
        assert len((await shown(front, f"images?{query}"))["images"]) == found
    assert (await front.rest.delete(f"{path}/tags")).status_code == 204
    assert (await front.rest.delete(path)).status_code == 204
    answer = await front.rest.get(path)
    assert (answer.status_code, answer.json()["error_name"]) == (400, "IMAGE_NOT_REGISTERED")
    assert (await front.rest.get(f"/v2/images/{uuid.uuid4()}")).status_code == 404


async def test_plugins_are_shown_with_versions_and_configs(front: Front) -> None:
    got = (await shown(front, "plugins/fake"))["plugin"]
    enabled = {"status": True, "mutable": True, "description": "It can be used."}
    same(
        got,
        {
            "name": "fake",
            "title": "Fake Plugin",
            "description": "For tests.",
            "versions": ["0.1"],
            "plugin_labels": {"enabled": enabled},
            "version_labels": {"0.1": {"enabled": enabled}},
        },
    )
    version = (await shown(front, "plugins/fake/0.1"))["plugin"]
    assert version["node_processes"]["HDFS"] == ["namenode", "datanode"]
    assert version["required_image_tags"] == ["fake", "0.1"]
    same(
        version["configs"][0],
        {
            "name": "Timeout for disk preparing",
            "description": None,
            "config_type": "int",
            "config_values": None,
            "default_value": 300,
            "applicable_target": "general",
            "scope": "cluster",
            "is_optional": True,
            "priority": 1,
        },
    )
    answer = await front.rest.patch("/v2/plugins/fake", json={"plugin_labels": {}})
    assert (answer.status_code, answer.json()["error_name"]) == (400, "NOT_IMPLEMENTED")
    for path, shown_ids in (
        ("plugins/nope", "{'plugin_name': 'nope'}"),
        ("plugins/fake/9", "{'plugin_name': 'fake', 'version': '9'}"),
    ):
        missing = await front.rest.get(f"/v2/{path}")
        assert (missing.status_code, missing.json()["error_name"]) == (404, "NOT_FOUND")
        assert missing.json()["error_message"].startswith(f"Object with {shown_ids} not found\n")


async def test_job_types_name_the_plugins_that_run_them(front: Front) -> None:
    about = {"name": "fake", "title": "Fake Plugin", "description": "For tests."}
    got = await shown(front, "job-types?type=Spark&plugin_name=fake")
    assert got == {
        "job_types": [{"name": "Spark", "plugins": [{**about, "versions": {"0.1": {}}}]}]
    }
    assert await shown(front, "job-types?plugin_name=nope") == {"job_types": []}
    hints: dict[str, Any] = {"configs": [], "params": {}, "args": []}
    assert await shown(front, "job-templates/config-hints/Spark") == {"job_config": hints}
    assert (await front.rest.get("/v2/job-templates/config-hints/No")).status_code == 404
