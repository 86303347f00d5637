"""REST at its door: versions, paths, tokens, bodies."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.test_grpc_work import TOKENS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api_gateway.conftest import Front

VERSION = "OpenStack-API-Version"


async def test_the_root_says_which_versions_there_are(front: Front) -> None:
    answer = await front.rest.get("/")
    assert answer.status_code == 300
    (version,) = answer.json()["versions"]
    assert version["id"] == "v2"
    assert version["status"] == "CURRENT"
    assert version["links"] == [{"rel": "self", "href": f"{front.rest.base_url}/v2/"}]
    assert (version["min_version"], version["max_version"]) == ("2.0", "2.1")


@pytest.mark.parametrize(
    "path",
    ["/v2/plugins", "/v2/plugins.json", "/v2/default/plugins", "/v2/any/plugins.json"],
)
async def test_a_path_may_carry_a_project_and_json(front: Front, path: str) -> None:
    answer = await front.rest.get(path)
    assert answer.status_code == 200
    assert [each["name"] for each in answer.json()["plugins"]] == ["fake"]


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v3/plugins", "/v2/nope", "/v2/plugins/a/b/c"])
async def test_a_path_that_leads_nowhere_is_404(front: Front, path: str) -> None:
    answer = await front.rest.get(path)
    assert answer.status_code == 404
    assert answer.json()["error"] == 404


async def test_a_method_that_a_path_does_not_have_is_405(front: Front) -> None:
    answer = await front.rest.put("/v2/plugins")
    assert answer.status_code == 405
    assert answer.json()["error"] == 405
    assert answer.headers["allow"] == "GET"


@pytest.mark.parametrize(
    ("asked", "echoed"), [(None, "2.0"), ("2.0", "2.0"), ("2.1", "2.1"), ("latest", "2.1")]
)
async def test_every_answer_says_its_microversion(
    front: Front, asked: str | None, echoed: str
) -> None:
    headers = {} if asked is None else {VERSION: f"compute 2.9, data-processing {asked}"}
    answer = await front.rest.get("/v2/plugins", headers=headers)
    assert answer.status_code == 200
    assert answer.headers[VERSION] == f"data-processing {echoed}"
    assert answer.headers["vary"] == VERSION
    assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize(
    ("asked", "status", "name"), [("abc", 400, "BAD_REQUEST"), ("9.0", 406, "NOT_ACCEPTABLE")]
)
async def test_a_microversion_that_is_not_served_is_refused(
    front: Front, asked: str, status: int, name: str
) -> None:
    answer = await front.rest.get("/v2/plugins", headers={VERSION: f"data-processing {asked}"})
    body = answer.json()
    assert (answer.status_code, body["error_code"], body["error_name"]) == (status, status, name)
    assert (body["min_version"], body["max_version"]) == ("2.0", "2.1")
    assert answer.headers[VERSION] == f"data-processing {asked}"


async def test_an_upload_is_a_matter_of_2_1(front: Front) -> None:
    made = await front.rest.post(
        "/v2/job-binaries", json={"name": "a.sh", "url": f"internal-db://{uuid.uuid4()}"}
    )
    path = f"/v2/job-binaries/{made.json()['job_binary']['id']}/data"
    answer = await front.rest.put(path, content=b"x")
    assert answer.status_code == 405
    assert f"{VERSION}: data-processing 2.1" in answer.json()["error_message"]
    answer = await front.rest.put(path, content=b"x", headers={VERSION: "data-processing 2.1"})
    assert answer.status_code == 202


async def test_tokens_open_their_own_project_alone(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    template = {
        "name": "w",
        "plugin_name": "fake",
        "plugin_version": "0.1",
        "flavor_id": "2",
        "node_processes": ["datanode"],
    }
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        one, two = {"X-Auth-Token": "t1"}, {"X-Auth-Token": "t2"}
        path = "/v2/node-group-templates"
        for wrong in ({}, {"X-Auth-Token": "nope"}):
            answer = await front.rest.post(path, json=template, headers=wrong)
            assert answer.status_code == 401
            assert answer.json()["error_code"] == 401
        foreign = await front.rest.post(f"/v2/p2{path[3:]}", json=template, headers=one)
        assert foreign.status_code == 401
        assert "Token tenant != requested tenant" in foreign.json()["error_message"]
        assert front.memory.items == {}
        made = await front.rest.post(f"/v2/p1{path[3:]}", json=template, headers=one)
        assert made.status_code == 202
        made_id = made.json()["node_group_template"]["id"]
        assert made.json()["node_group_template"]["project_id"] == "p1"
        for method in ("GET", "DELETE", "PATCH"):
            answer = await front.rest.request(method, f"{path}/{made_id}", headers=two)
            assert (answer.status_code, answer.json()["error_name"]) == (404, "NOT_FOUND")
        listed = await front.rest.get(path, headers=two)
        assert listed.json() == {"node_group_templates": []}
        assert (await front.rest.get("/")).status_code == 300


async def test_labels_of_plugins_are_for_administrators(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        answer = await front.rest.patch("/v2/plugins/nope", headers={"X-Auth-Token": "t1"})
        assert (answer.status_code, answer.json()["error_name"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("content", "kind", "name"),
    [
        (b"{", "application/json", "MALFORMED_REQUEST_BODY"),
        (b'{"a": NaN}', "application/json", "MALFORMED_REQUEST_BODY"),
        (b'"\xff"', "application/json", "MALFORMED_REQUEST_BODY"),
        (b"[" * 5000, "application/json", "MALFORMED_REQUEST_BODY"),
        (b"[]", "application/json", "VALIDATION_ERROR"),
        (b"null", "application/json", "VALIDATION_ERROR"),
        (b"", "application/json", "VALIDATION_ERROR"),
        (b"{}", "text/plain", "INVALID_DATA"),
        (b" " * (3 * 2**20), "application/json", "DATA_TOO_BIG"),
    ],
)
async def test_a_body_that_is_not_json_is_refused(
    front: Front, content: bytes, kind: str, name: str
) -> None:
    answer = await front.rest.post("/v2/clusters", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error_name"]) == (400, name)
    assert front.memory.clusters == {}


async def test_unknown_parameters_are_refused(front: Front) -> None:
    answer = await front.rest.get("/v2/clusters?color=red")
    body = answer.json()
    assert (answer.status_code, body["error_name"]) == (400, "INVALID_PARAMS_ON_REQUEST")
    assert "['plugin_name', 'plugin_version', 'name']" in body["error_message"]


async def test_many_requests_are_served_side_by_side(front: Front) -> None:
    answers = await asyncio.gather(*(front.rest.get("/v2/clusters") for _ in range(50)))
    assert {each.status_code for each in answers} == {200}
