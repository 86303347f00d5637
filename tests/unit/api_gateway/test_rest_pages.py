"""Lists by pages over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.api_gateway.rest import WORKER, created, shown

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front


@pytest.mark.parametrize("sort_by", ["id", "-id", "name", "-name", "created_at"])
async def test_pages_follow_one_another_and_miss_nothing(front: Front, sort_by: str) -> None:
    for index in range(5):
        await created(front, "node-group-templates", {**WORKER, "name": f"w{index}"})
    whole = await shown(front, f"node-group-templates?sort_by={sort_by}")
    assert "markers" not in whole
    ids = [each["id"] for each in whole["node_group_templates"]]
    assert len(ids) == 5
    if sort_by.endswith(("id", "name")):
        field = sort_by.removeprefix("-")
        keys = [each[field] for each in whole["node_group_templates"]]
        assert keys == sorted(keys, reverse=sort_by.startswith("-"))
    seen: list[str] = []
    befores = []
    marker = ""
    while True:
        query = f"sort_by={sort_by}&limit=2" + (f"&marker={marker}" if marker else "")
        page = await shown(front, f"node-group-templates?{query}")
        seen.extend(each["id"] for each in page["node_group_templates"])
        befores.append(page["markers"]["prev"])
        marker = page["markers"]["next"]
        if marker is None:
            break
    assert seen == ids
    assert befores == [None, None, ids[1]]
    rest = await shown(front, f"node-group-templates?sort_by={sort_by}&marker={ids[3]}")
    assert [each["id"] for each in rest["node_group_templates"]] == ids[4:]
    assert rest["markers"] == {"prev": None, "next": None}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400),
        ("limit=-1", 400),
        ("limit=x", 400),
        ("limit=%C2%B2", 400),
        ("sort_by=color", 400),
        ("marker=7f0c8e5a-3d41-4b6f-9a57-2c1e0d9b8f36", 404),
    ],
)
@pytest.mark.parametrize("path", ["clusters", "job-binaries", "jobs", "cluster-templates"])
async def test_a_page_that_can_not_be_is_refused(
    front: Front, path: str, query: str, status: int
) -> None:
    answer = await front.rest.get(f"/v2/{path}?{query}")
    assert (answer.status_code, answer.json()["error_code"]) == (status, status)
