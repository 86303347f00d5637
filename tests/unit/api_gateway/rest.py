"""Speaking REST in tests: bodies that are right, and short ways to send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.api_gateway.neighbours import IMAGE, NETWORK

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front

V2_1 = {"OpenStack-API-Version": "data-processing 2.1"}

WORKER = {
    "name": "worker",
    "flavor_id": 2,
    "plugin_name": "fake",
    "plugin_version": "0.1",
    "node_processes": ["datanode", "tasktracker"],
}
MASTER = {"name": "m", "flavor_id": "2", "node_processes": ["namenode"], "count": 1}


def cluster(**changes: Any) -> dict[str, Any]:
    made = {
        "name": "c1",
        "plugin_name": "fake",
        "plugin_version": "0.1",
        "default_image_id": IMAGE,
        "neutron_management_network": NETWORK,
        "node_groups": [MASTER],
    }
    return {**made, **changes}


async def created(front: Front, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = await front.rest.post(f"/v2/{path}", json=body)
    assert answer.status_code == 202, answer.text
    (made,) = answer.json().values()
    assert isinstance(made, dict)
    return made


async def shown(front: Front, path: str) -> Any:
    answer = await front.rest.get(f"/v2/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def same(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Both have the same values, in the same order."""
    assert left == right
    assert list(left) == list(right)
