"""Job binaries, job templates and jobs over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.rest import V2_1, cluster, created, same, shown

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.api_gateway.conftest import Front


async def test_a_job_goes_from_bytes_to_its_end(front: Front) -> None:
    running = await created(front, "clusters", cluster())
    binary = await created(front, "job-binaries", {"name": "a.sh", "url": "internal-db://"})
    same(
        binary,
        {
            "created_at": binary["created_at"],
            "id": binary["id"],
            "name": "a.sh",
            "url": f"internal-db://{binary['id']}",
            "is_public": False,
            "is_protected": False,
            "project_id": "default",
        },
    )
    data = b"echo hi\n" * 100_000
    path = f"/v2/job-binaries/{binary['id']}/data"
    assert (await front.rest.put(path, content=data, headers=V2_1)).status_code == 202
    assert (await front.rest.get(path)).content == data
    template = await created(
        front,
        "job-templates",
        {
            "name": "jt",
            "type": "Shell",
            "mains": [binary["id"]],
            "streaming": False,
            "interface": [
                {
                    "name": "a",
                    "mapping_type": "args",
                    "location": "0",
                    "required": False,
                    "default": "x",
                }
            ],
        },
    )
    got = (await shown(front, f"job-templates/{template['id']}"))["job_template"]
    assert [each["name"] for each in got["mains"]] == ["a.sh"]
    assert got["libs"] == []
    assert got["interface"][0]["tenant_id"] == "default"
    body = {
        "cluster_id": running["id"],
        "job_template_id": template["id"],
        "interface": {"a": "v"},
        "job_configs": {"configs": {"k": "v"}, "args": ["z"]},
    }
    job = await created(front, "jobs", body)
    same(
        job,
        {
            "created_at": job["created_at"],
            "id": job["id"],
            "input_id": None,
            "output_id": None,
            "cluster_id": running["id"],
            "info": {"status": "PENDING"},
            "job_configs": {
                "configs": {"k": "v"},
                "args": ["v", "z"],
                "job_execution_info": {},
            },
            "extra": {},
            "is_public": False,
            "is_protected": False,
            "engine_job_id": None,
            "project_id": "default",
            "job_template_id": template["id"],
        },
    )
    one = f"jobs/{job['id']}"
    got = (await shown(front, f"{one}?refresh_status=True"))["job"]
    assert (got["return_code"], got["end_time"], got["updated_at"]) == (None, None, None)
    assert len((await shown(front, "jobs?status=PENDING"))["jobs"]) == 1
    assert len((await shown(front, "jobs?status=KILLED"))["jobs"]) == 0
    for change in ({"info": {"status": "suspend"}}, {"is_public": True}):
        refused = await front.rest.patch(f"/v2/{one}", json=change)
        assert (refused.status_code, refused.json()["error_name"]) == (400, "NOT_IMPLEMENTED")
    ended = await front.rest.patch(f"/v2/{one}", json={"info": {"status": "cancel"}})
    assert (ended.status_code, ended.json()["job"]["info"]["status"]) == (202, "TOBEKILLED")
    assert (await front.rest.delete(f"/v2/{one}")).status_code == 204
    assert front.memory.jobs == {}


async def test_more_bytes_than_a_job_binary_may_have_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path, job_binary_limit=1_000_000) as front:
        binary = await created(front, "job-binaries", {"name": "a.sh", "url": "internal-db://"})
        path = f"/v2/job-binaries/{binary['id']}/data"
        for size in (1_000_001, 5_000_000):
            answer = await front.rest.put(path, content=b"x" * size, headers=V2_1)
            assert (answer.status_code, answer.json()["error_name"]) == (400, "DATA_TOO_BIG")
        assert front.memory.data == {}
        answer = await front.rest.put(path, content=b"x" * 1_000_000, headers=V2_1)
        assert answer.status_code == 202


async def test_secrets_of_a_job_are_never_shown(front: Front) -> None:
    running = await created(front, "clusters", cluster())
    template = await created(front, "job-templates", {"name": "jt", "type": "MapReduce.Streaming"})
    front.memory.items["job_template", template["id"]].type = "Spark"
    secret = {"fs.s3a.secret.key": "hush", "edp.java.main_class": "A"}
    job = await created(
        front,
        "jobs",
        {
            "cluster_id": running["id"],
            "job_template_id": template["id"],
            "job_configs": {"configs": secret},
        },
    )
    assert job["job_configs"]["configs"]["fs.s3a.secret.key"] == ""
    stored = front.memory.jobs[job["id"]].configs.configs["fs.s3a.secret.key"]
    assert stored.text == "hush"
