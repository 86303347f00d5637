"""Bad input against a real ``savanna-all``: the wire's error, no row, no host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.all_in_one import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.all_in_one import Running

TOKENS = """\
- token: anna
  user_id: u1
  user_name: Anna
  project_id: p1
  project_name: one
  roles: [member]
- token: bert
  user_id: u2
  user_name: Bert
  project_id: p2
  project_name: two
  roles: [member]
"""
SETTINGS = {
    # So that the cloud counts its servers, and is asked each time.
    "SAVANNA_SIMULATOR_MAX_SERVERS": "20",
    "SAVANNA_API_CLOUD_CACHE_SECONDS": "0",
}
LISTS = {
    "node-group-templates": "node_group_templates",
    "cluster-templates": "cluster_templates",
    "clusters": "clusters",
    "job-binaries": "binaries",
    "job-templates": "job_templates",
    "jobs": "jobs",
}
"""Paths, and under which key each lists what there is."""

ANOTHER = "7f0c8e5a-3d41-4b6f-9a57-2c1e0d9b8f36"
FAKE = {"plugin_name": "fake", "plugin_version": "0.1"}
SPARK = {"plugin_name": "spark", "plugin_version": "4.3"}
MASTER = {"name": "m", "flavor_id": "1", "node_processes": ["namenode"], "count": 1}
SPARK_WORKER = {"name": "w", "flavor_id": "1", "node_processes": ["worker"], "count": 1}
GROUP_TEMPLATE = {"name": "ngt", "flavor_id": "1", "node_processes": ["datanode"], **FAKE}


@dataclass
class Front:
    """What Anna has of the process."""

    savanna: Running
    rest: httpx.Client
    image: str
    """An image that the cloud has, tagged for both plugins."""

    network: str

    def cluster(self, **changes: Any) -> dict[str, Any]:
        """Describe a cluster that could be launched, but for the changes."""
        made = {
            "name": "bad",
            **FAKE,
            "default_image_id": self.image,
            "neutron_management_network": self.network,
            "node_groups": [MASTER],
            **changes,
        }
        return {key: value for key, value in made.items() if value is not ...}

    def rows(self) -> dict[str, list[str]]:
        """List all there is, by kind."""
        return {
            path: [each["id"] for each in self.rest.get(path).json()[key]]
            for path, key in LISTS.items()
        }

    def hosts(self) -> int:
        """Count the servers of the cloud."""
        return next(each.used for each in self.savanna.cloud("anna").quotas)

    def created(self, path: str, body: dict[str, Any]) -> str:
        """Create something that is right; gives its id."""
        answer = self.rest.post(path, json=body)
        assert answer.status_code == 202, answer.text
        (made,) = answer.json().values()
        return str(made["id"])


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """A process with the simulated cloud, which two people may use."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "tokens.yaml").write_text(TOKENS)
    flags = ("--cloud", "simulated", "--auth", f"tokens={folder}/tokens.yaml")
    with (
        running(folder / "data", *flags, settings=SETTINGS) as savanna,
        httpx.Client(
            base_url=f"{savanna.rest}/v2", headers={"X-Auth-Token": "anna"}, timeout=30
        ) as rest,
    ):
        cloud = savanna.cloud("anna")
        image = next(each.id for each in cloud.images if "fake" in each.tags)
        tags = {"tags": ["fake", "0.1", "spark", "4.3"]}
        assert rest.put(f"images/{image}/tags", json=tags).status_code == 200
        yield Front(savanna, rest, image, cloud.networks[0].id)


def refused(answer: httpx.Response, name: str, text: str, status: int = 400) -> None:
    """The body has exactly what Sahara's clients read."""
    body = answer.json()
    assert (answer.status_code, body.get("error_name")) == (status, name), body
    assert set(body) == {"error_code", "error_message", "error_name"}
    assert body["error_code"] == status
    assert text in body["error_message"]
    assert body["error_message"].splitlines()[-1].startswith("Error ID: ")


def group(**changes: Any) -> dict[str, Any]:
    return {"node_groups": [{**MASTER, **changes}]}


@pytest.mark.parametrize(
    ("changes", "name", "text"),
    [
        ({"plugin_name": "no"}, "INVALID_REFERENCE", "doesn't contain plugin with name 'no'"),
        ({"plugin_version": "9"}, "INVALID_REFERENCE", "doesn't support version '9'"),
        (group(node_processes=["pigeon"]), "INVALID_REFERENCE", "node processes: ['pigeon']"),
        (group(flavor_id="99"), "NOT_FOUND", "Requested flavor '99' not found"),
        ({"default_image_id": ANOTHER}, "INVALID_REFERENCE", f"'{ANOTHER}' is not registered"),
        ({"default_image_id": ...}, "NOT_FOUND", "'default_image_id' field is not found"),
        ({"neutron_management_network": ANOTHER}, "NOT_FOUND", f"Network {ANOTHER} not found"),
        (group(count=-1), "INVALID_DATA", "must not be negative: -1"),
        ({"count": -1}, "INVALID_DATA", "count must be from 1 to 100, not -1"),
        (group(volumes_per_node=-1), "VALIDATION_ERROR", "-1 is less than the minimum of 0"),
        (group(count=21), "QUOTA_ERROR", "Quota exceeded for instance: Requested 21, but avail"),
        ({"name": "-bad"}, "VALIDATION_ERROR", "name: '-bad' is not a 'valid_name_hostname'"),
        ({"name": "b" * 81}, "VALIDATION_ERROR", "is too long"),
        (group(name="under_score"), "VALIDATION_ERROR", "'under_score'"),
        (
            {**SPARK, "node_groups": [SPARK_WORKER]},
            "INVALID_COMPONENT_COUNT",
            "master",
        ),
        (
            {**SPARK, "node_groups": [{**SPARK_WORKER, "node_processes": ["namenode"]}]},
            "INVALID_REFERENCE",
            "node processes: ['namenode']",
        ),
        ({"default_image_id": "x"}, "VALIDATION_ERROR", "default_image_id: 'x' is not a 'uuid'"),
        ({"cluster_template_id": ANOTHER}, "NOT_FOUND", f"with id '{ANOTHER}' not found"),
        (
            {"cluster_configs": {"general": {"fake.delay.start": "long"}}},
            "INVALID_DATA",
            "fake.delay.start",
        ),
        ({"shares": [{"id": ANOTHER}]}, "NOT_IMPLEMENTED", "Shares are not supported yet"),
        ({"is_transient": True}, "NOT_IMPLEMENTED", "Leave is_transient at false"),
        ({"zzz": 1}, "VALIDATION_ERROR", "'zzz' was unexpected"),
    ],
)
def test_a_bad_cluster_leaves_no_row_and_no_host(
    front: Front, changes: dict[str, Any], name: str, text: str
) -> None:
    before = front.rows()
    refused(front.rest.post("clusters", json=front.cluster(**changes)), name, text)
    assert front.rows() == before
    assert front.hosts() == 0


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"text"', b'{"name": NaN}', b"\xff\xfe", b"name: yaml"]
)
def test_a_body_that_is_no_json_object_is_refused(front: Front, path: str, body: bytes) -> None:
    before = front.rows()
    answer = front.rest.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == 400
    assert answer.json()["error_message"]
    assert front.rows() == before


@pytest.mark.parametrize("token", ["", "nope", "annabert"])
def test_a_missing_or_wrong_token_lets_nobody_in(front: Front, token: str) -> None:
    before = front.rows()
    for method, path in (("GET", "clusters"), ("POST", "node-group-templates")):
        answer = front.rest.request(
            method, path, json=GROUP_TEMPLATE, headers={"X-Auth-Token": token}
        )
        assert answer.status_code == 401, answer.text
    assert front.rows() == before


def test_the_token_of_another_project_sees_and_changes_nothing(front: Front) -> None:
    made = front.created("node-group-templates", GROUP_TEMPLATE)
    path = f"node-group-templates/{made}"
    bert = {"X-Auth-Token": "bert"}
    assert front.rest.get("node-group-templates", headers=bert).json() == {
        "node_group_templates": []
    }
    for method in ("GET", "PATCH", "DELETE"):
        body = {"name": "mine"} if method == "PATCH" else None
        answer = front.rest.request(method, path, json=body, headers=bert)
        refused(answer, "NOT_FOUND", f"Object with {{'id': '{made}'}} not found", status=404)
    foreign = front.rest.get(f"{front.savanna.rest}/v2/p1/clusters", headers=bert)
    assert foreign.status_code in (401, 403)
    assert front.rest.get(path).json()["node_group_template"]["name"] == "ngt"
    assert front.rest.delete(path).status_code == 204


def test_a_template_in_use_stays(front: Front) -> None:
    group_id = front.created("node-group-templates", GROUP_TEMPLATE)
    member = {"name": "w", "count": 1, "node_group_template_id": group_id}
    template = front.created("cluster-templates", {"name": "ct", **FAKE, "node_groups": [member]})
    before = front.rows()
    refused(
        front.rest.delete(f"node-group-templates/{group_id}"),
        "INVALID_REFERENCE",
        f"Node group template {group_id} is in use by cluster templates: ct",
    )
    assert front.rows() == before
    assert front.rest.delete(f"cluster-templates/{template}").status_code == 204
    assert front.rest.delete(f"node-group-templates/{group_id}").status_code == 204


def test_a_job_that_can_not_run_is_refused_and_its_cluster_goes_on(front: Front) -> None:
    groups = [{**SPARK_WORKER, "name": "m", "node_processes": ["master"]}, SPARK_WORKER]
    cluster = front.created("clusters", front.cluster(name="c1", **SPARK, node_groups=groups))
    binary = front.created("job-binaries", {"name": "empty.sh", "url": "internal-db://"})
    templates = {
        kind: front.created("job-templates", {"name": f"t-{kind}", "type": kind, "mains": [binary]})
        for kind in ("Shell", "Hive")
    }
    bodies = {
        kind: {"cluster_id": cluster, "job_template_id": each} for kind, each in templates.items()
    }
    before = front.rows()
    for body, name, text in (
        (bodies["Shell"], "BAD_JOB_BINARY", "Job binary 'empty.sh' has no bytes yet"),
        (bodies["Hive"], "INVALID_REFERENCE", "doesn't support job type 'Hive'"),
        ({**bodies["Shell"], "cluster_id": ANOTHER}, "INVALID_REFERENCE", "doesn't exist"),
        ({**bodies["Shell"], "job_template_id": ANOTHER}, "INVALID_REFERENCE", "doesn't exist"),
        ({"cluster_id": cluster}, "VALIDATION_ERROR", "'job_template_id' is a required"),
    ):
        refused(front.rest.post("jobs", json=body), name, text)
    refused(
        front.rest.put(
            f"clusters/{cluster}", json={"resize_node_groups": [{"name": "w", "count": -1}]}
        ),
        "VALIDATION_ERROR",
        "-1 is less than the minimum of 0",
    )
    refused(
        front.rest.delete(f"job-binaries/{binary}"), "DELETION_FAILED", "JobBinary is referenced"
    )
    assert front.rows() == before
    assert front.rest.delete(f"clusters/{cluster}").status_code == 204
