"""Bad requests over REST: each is refused on the wire's terms, and leaves no row behind."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from savanna.cluster.v1 import cluster_pb2
from tests.unit.api_gateway.neighbours import PLAIN_IMAGE
from tests.unit.api_gateway.rest import MASTER, V2_1, WORKER, cluster, created

if TYPE_CHECKING:
    from httpx import Response

    from tests.unit.api_gateway.conftest import Front

ANOTHER = "7f0c8e5a-3d41-4b6f-9a57-2c1e0d9b8f36"
SCHEDULED = {"job_execution_type": "scheduled", "start": "2030-01-01 00:00:00"}
NO_MASTER = {"name": "w", "flavor_id": "2", "node_processes": ["datanode"], "count": 1}


def refused(answer: Response, name: str, *texts: str, status: int = 400) -> None:
    """The body has exactly what Sahara's clients read."""
    body = answer.json()
    assert (answer.status_code, body.get("error_name")) == (status, name), body
    assert set(body) == {"error_code", "error_message", "error_name"}
    assert body["error_code"] == status
    *_, last = body["error_message"].splitlines()
    assert last.startswith("Error ID: ")
    uuid.UUID(last.removeprefix("Error ID: "))
    for text in texts:
        assert text in body["error_message"]


def rows(front: Front) -> tuple[int, ...]:
    memory = front.memory
    return len(memory.items), len(memory.clusters), len(memory.jobs), len(memory.operations)


def group(**changes: Any) -> dict[str, Any]:
    return {**MASTER, **changes}


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"plugin_name": "no"}, "INVALID_REFERENCE", "doesn't contain plugin with name 'no'"),
        (
            {"plugin_version": "9"},
            "INVALID_REFERENCE",
            "Requested plugin 'fake' doesn't support version '9'",
        ),
        (
            {"node_processes": ["pigeon"]},
            "INVALID_REFERENCE",
            "Plugin doesn't support the following node processes: ['pigeon']",
        ),
        (
            {"node_processes": ["datanode", "datanode"]},
            "INVALID_DATA",
            "Duplicates in node processes have been detected: ['datanode']",
        ),
        ({"node_processes": []}, "VALIDATION_ERROR", "node_processes: [] should be non-empty"),
        ({"flavor_id": "9"}, "NOT_FOUND", "Requested flavor '9' not found"),
        ({"flavor_id": True}, "VALIDATION_ERROR", "flavor_id: True is not of type 'flavor'"),
        ({"flavor_id": "big"}, "VALIDATION_ERROR", "flavor_id: 'big' is not of type 'flavor'"),
        ({"image_id": ANOTHER}, "INVALID_REFERENCE", f"'{ANOTHER}' is not registered"),
        ({"image_id": PLAIN_IMAGE}, "INVALID_REFERENCE", f"'{PLAIN_IMAGE}' is not registered"),
        ({"image_id": "x"}, "VALIDATION_ERROR", "image_id: 'x' is not a 'uuid'"),
        ({"name": "-bad"}, "VALIDATION_ERROR", "name: '-bad' is not a 'valid_name_hostname'"),
        ({"name": "bad\n"}, "VALIDATION_ERROR", "is not a 'valid_name_hostname'"),
        ({"name": "x" * 51}, "VALIDATION_ERROR", "is too long"),
        ({"name": 7}, "VALIDATION_ERROR", "name: 7 is not of type 'string'"),
        ({"volumes_per_node": -1}, "VALIDATION_ERROR", "-1 is less than the minimum of 0"),
        ({"volumes_per_node": 2**40}, "VALIDATION_ERROR", "greater than the maximum"),
        ({"volumes_per_node": 1}, "INVALID_REFERENCE", "Cinder is not supported"),
        ({"node_configs": {"No": {"a": 1}}}, "INVALID_REFERENCE", "applicable target 'No'"),
        ({"node_configs": {"HDFS": {"no": 1}}}, "INVALID_REFERENCE", "config with name 'no'"),
        ({"node_configs": {"HDFS": {"a": 1.5}}}, "VALIDATION_ERROR", "not of type 'configs'"),
        ({"node_configs": {"HDFS": {"a": 2**63}}}, "VALIDATION_ERROR", "not of type 'configs'"),
        ({"availability_zone": "moon"}, "NOT_FOUND", "availability zone 'moon' not found"),
        ({"zzz": 1}, "VALIDATION_ERROR", "('zzz' was unexpected)"),
        ({"shares": [{"id": ANOTHER}]}, "NOT_IMPLEMENTED", "Shares are not supported yet"),
        ({"boot_from_volume": True}, "INVALID_REFERENCE", "leave boot_from_volume at false"),
        ({"security_groups": ["web"]}, "NOT_FOUND", "Security group 'web' not found"),
        ({"floating_ip_pool": ANOTHER}, "NOT_FOUND", f"Floating IP pool {ANOTHER} not found"),
    ],
)
async def test_a_bad_node_group_template_is_refused(
    front: Front, changes: dict[str, Any], name: str, text: str
) -> None:
    answer = await front.rest.post("/v2/node-group-templates", json={**WORKER, **changes})
    refused(answer, name, text)
    assert rows(front) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"plugin_name": "no"}, "INVALID_REFERENCE", "doesn't contain plugin with name 'no'"),
        ({"plugin_version": "9"}, "INVALID_REFERENCE", "doesn't support version '9'"),
        ({"default_image_id": ANOTHER}, "INVALID_REFERENCE", "is not registered"),
        ({"default_image_id": None}, "NOT_FOUND", "'default_image_id' field is not found"),
        (
            {"neutron_management_network": None},
            "NOT_FOUND",
            "'neutron_management_network' field is not found",
        ),
        ({"neutron_management_network": ANOTHER}, "NOT_FOUND", f"Network {ANOTHER} not found"),
        (
            {"cluster_template_id": ANOTHER},
            "NOT_FOUND",
            f"Cluster template with id '{ANOTHER}' not found",
        ),
        ({"node_groups": [group(count=-1)]}, "INVALID_DATA", "must not be negative: -1"),
        ({"node_groups": [group(count=2**31)]}, "VALIDATION_ERROR", "node_groups[0]"),
        ({"node_groups": [group(flavor_id="9")]}, "NOT_FOUND", "Requested flavor '9' not found"),
        ({"node_groups": [MASTER, MASTER]}, "INVALID_DATA", "Duplicates in node group names"),
        (
            {"node_groups": [NO_MASTER]},
            "INVALID_COMPONENT_COUNT",
            "Hadoop cluster should contain 1 namenode component(s). Actual namenode count is 0",
        ),
        ({"node_groups": []}, "INVALID_COMPONENT_COUNT", "Actual namenode count is 0"),
        ({"node_groups": [group(count=60)]}, "QUOTA_ERROR", "Quota exceeded for instance"),
        ({"name": "9c"}, "VALIDATION_ERROR", "name: '9c' is not a 'valid_name_hostname'"),
        (
            {"name": "c" * 50, "domain_name": "a.long.domain.example"},
            "INVALID_DATA",
            "exceeds maximum limit 64 characters",
        ),
        ({"anti_affinity": ["no"]}, "INVALID_REFERENCE", "node processes: ['no']"),
        ({"count": 0}, "INVALID_DATA", "count must be from 1 to 100, not 0"),
        ({"count": -1}, "INVALID_DATA", "count must be from 1 to 100, not -1"),
        ({"count": 10**9}, "INVALID_DATA", "count must be from 1 to 100"),
        ({"count": True}, "VALIDATION_ERROR", "count: True is not of type 'integer'"),
        ({"anti_affinity_ratio": 2}, "VALIDATION_ERROR", "was unexpected"),
        ({"anti_affinity": ["namenode"]}, "NOT_IMPLEMENTED", "Leave anti_affinity empty"),
        ({"shares": [{"id": ANOTHER}]}, "NOT_IMPLEMENTED", "Shares are not supported yet"),
        ({"user_keypair_id": "me"}, "NOT_FOUND", "Requested keypair 'me' not found"),
        ({"is_transient": True}, "NOT_IMPLEMENTED", "Leave is_transient at false"),
    ],
)
async def test_a_bad_cluster_is_refused(
    front: Front, changes: dict[str, Any], name: str, text: str
) -> None:
    refused(await front.rest.post("/v2/clusters", json=cluster(**changes)), name, text)
    assert rows(front) == (0, 0, 0, 0)


async def test_every_problem_of_a_body_is_told_at_once(front: Front) -> None:
    answer = await front.rest.post("/v2/node-group-templates", json={"name": "-x", "zzz": 1})
    refused(
        answer,
        "VALIDATION_ERROR",
        "name: '-x'",
        "'zzz' was unexpected",
        "'flavor_id' is a required property",
        "'node_processes' is a required property",
    )
    both = await front.rest.post(
        "/v2/node-group-templates",
        json={**WORKER, "flavor_id": "9", "node_processes": ["pigeon"]},
    )
    refused(both, "NOT_FOUND", "Requested flavor '9' not found", "['pigeon']", "Field: flavor_id")


async def test_a_name_is_taken_once(front: Front) -> None:
    for path, body in (
        ("node-group-templates", WORKER),
        ("clusters", cluster()),
        ("job-binaries", {"name": "b", "url": "internal-db://"}),
    ):
        await created(front, path, body)
        before = rows(front)
        answer = await front.rest.post(f"/v2/{path}", json=body)
        refused(answer, "NAME_ALREADY_EXISTS", "already exists")
        assert rows(front) == before


async def test_what_is_in_use_or_protected_is_not_removed(front: Front) -> None:
    worker = await created(front, "node-group-templates", {**WORKER, "is_protected": True})
    path = f"/v2/node-group-templates/{worker['id']}"
    refused(await front.rest.delete(path), "DELETION_FAILED", "it's marked as protected")
    refused(await front.rest.patch(path, json={"flavor_id": "1"}), "UPDATE_FAILED", "protected")
    assert (await front.rest.patch(path, json={"is_protected": False})).status_code == 202
    members = [{"name": "w", "count": 1, "node_group_template_id": worker["id"]}, MASTER]
    template = await created(
        front,
        "cluster-templates",
        {"name": "ct", "plugin_name": "fake", "plugin_version": "0.1", "node_groups": members},
    )
    refused(
        await front.rest.delete(path),
        "INVALID_REFERENCE",
        f"Node group template {worker['id']} is in use by cluster templates: ct",
    )
    await created(front, "clusters", cluster(cluster_template_id=template["id"], node_groups=None))
    answer = await front.rest.delete(f"/v2/cluster-templates/{template['id']}")
    refused(answer, "INVALID_REFERENCE", f"Cluster template {template['id']} in use by c1")
    assert len(front.memory.items) == 2


@pytest.mark.parametrize(
    ("body", "name", "text"),
    [
        ({}, "VALIDATION_ERROR", "is not valid under any of the given schemas"),
        (
            {"resize_node_groups": [{"name": "m", "count": -1}]},
            "VALIDATION_ERROR",
            "-1 is less than the minimum of 0",
        ),
        (
            {"resize_node_groups": [{"name": "no", "count": 1}]},
            "INVALID_REFERENCE",
            "Cluster doesn't contain node group with name 'no'",
        ),
        (
            {"resize_node_groups": [{"name": "m", "count": 2}]},
            "INVALID_COMPONENT_COUNT",
            "Actual namenode count is 2",
        ),
        (
            {"add_node_groups": [group()]},
            "INVALID_REFERENCE",
            "Cluster already has nodegroup with name 'm'",
        ),
        (
            {"add_node_groups": [group(name="x", node_processes=["no"])]},
            "INVALID_REFERENCE",
            "node processes: ['no']",
        ),
        (
            {"resize_node_groups": [{"name": "m", "count": 1, "instances": ["c1-m-1"]}]},
            "INVALID_DATA",
            "Number of specific instances (1) to delete can not be greater",
        ),
    ],
)
async def test_a_bad_scale_is_refused(
    front: Front, body: dict[str, Any], name: str, text: str
) -> None:
    made = await created(front, "clusters", cluster())
    path = f"/v2/clusters/{made['id']}"
    good = {"resize_node_groups": [{"name": "m", "count": 1}]}
    refused(await front.rest.put(path, json=good), "INVALID_REFERENCE", "not in 'Active' status")
    front.memory.clusters[made["id"]].state = cluster_pb2.Cluster.STATE_ACTIVE
    before = rows(front)
    refused(await front.rest.put(path, json=body), name, text)
    assert (rows(front), front.memory.scales) == (before, [])


@pytest.mark.parametrize(
    ("path", "body", "name", "text"),
    [
        ("job-binaries", {"name": "b"}, "VALIDATION_ERROR", "'url' is a required property"),
        ("job-binaries", {"name": "b", "url": "ftp://x"}, "VALIDATION_ERROR", "ftp://x"),
        ("job-binaries", {"name": "b!", "url": "internal-db://"}, "VALIDATION_ERROR", "b!"),
        ("job-templates", {"name": "t", "type": "Cobol"}, "VALIDATION_ERROR", "'Cobol'"),
        ("job-templates", {"name": "t", "type": "PySpark"}, "VALIDATION_ERROR", "'PySpark'"),
        ("job-templates", {"name": "t", "type": "Shell"}, "INVALID_DATA", "requires main script"),
        (
            "job-templates",
            {"name": "t", "type": "Shell", "mains": [ANOTHER]},
            "NOT_FOUND",
            f"Job binary '{ANOTHER}' does not exist",
        ),
        (
            "jobs",
            {"cluster_id": ANOTHER, "job_template_id": ANOTHER},
            "INVALID_REFERENCE",
            f"Cluster with id '{ANOTHER}' doesn't exist",
        ),
        ("jobs", {"cluster_id": "c1", "job_template_id": "t"}, "VALIDATION_ERROR", "'uuid'"),
        (f"images/{PLAIN_IMAGE}", {}, "VALIDATION_ERROR", "'username' is a required property"),
        (f"images/{PLAIN_IMAGE}", {"username": ""}, "VALIDATION_ERROR", "username"),
    ],
)
async def test_a_bad_part_of_a_job_is_refused(
    front: Front, path: str, body: dict[str, Any], name: str, text: str
) -> None:
    refused(await front.rest.post(f"/v2/{path}", json=body), name, text)
    assert rows(front) == (0, 0, 0, 0)


async def test_a_job_that_can_not_run_is_refused(front: Front) -> None:
    running = await created(front, "clusters", cluster())
    binary = await created(front, "job-binaries", {"name": "a", "url": "internal-db://"})
    data = f"/v2/job-binaries/{binary['id']}/data"
    refused(await front.rest.get(data), "BAD_JOB_BINARY", "has no bytes yet")
    refused(await front.rest.put(data, content=b"", headers=V2_1), "BAD_JOB_BINARY", "empty")
    bodies = {}
    for kind in ("Shell", "Pig", "Spark"):
        template = await created(
            front, "job-templates", {"name": kind, "type": kind, "mains": [binary["id"]]}
        )
        bodies[kind] = {"cluster_id": running["id"], "job_template_id": template["id"]}
    for kind, name, text in (
        ("Shell", "BAD_JOB_BINARY", "Job binary 'a' has no bytes yet"),
        ("Pig", "INVALID_REFERENCE", "doesn't support job type 'Pig'"),
        ("Spark", "INVALID_DATA", "Spark job must specify edp.java.main_class"),
    ):
        refused(await front.rest.post("/v2/jobs", json=bodies[kind]), name, text)
    for changes, name, text in (
        ({"input_id": ANOTHER}, "INVALID_REFERENCE", f"DataSource with id '{ANOTHER}' doesn't"),
        ({"job_configs": {"job_execution_info": SCHEDULED}}, "NOT_IMPLEMENTED", "Scheduled jobs"),
    ):
        body = {**bodies["Shell"], **changes}
        refused(await front.rest.post("/v2/jobs", json=body), name, text)
    assert front.memory.jobs == {}
    in_use = await front.rest.delete(f"/v2/job-binaries/{binary['id']}")
    refused(in_use, "DELETION_FAILED", "JobBinary is referenced and cannot be deleted")
    moved = {"url": f"internal-db://{ANOTHER}"}
    answer = await front.rest.patch(f"/v2/job-binaries/{binary['id']}", json=moved)
    refused(answer, "UPDATE_FAILED", "can not be changed")


@pytest.mark.parametrize("ident", [ANOTHER, "nope", "%00", "a%2Fb", "x" * 3000])
@pytest.mark.parametrize("path", ["clusters", "cluster-templates", "job-binaries", "jobs"])
async def test_what_is_not_there_is_404(front: Front, path: str, ident: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        answer = await front.rest.request(method, f"/v2/{path}/{ident}")
        assert answer.status_code == 404, answer.text
    if "%" not in ident:
        shown = f"Object with {{'id': '{ident}'}} not found\n"
        refused(answer, "NOT_FOUND", shown, status=404)
