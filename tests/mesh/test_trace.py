"""One trace from a request by REST, through Envoy and all services, to the commands on hosts."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.api.v1.catalog_service_pb2 import GetCloudRequest
from savanna.api.v1.cluster_service_pb2 import DeleteClusterRequest, ListOperationsRequest
from savanna.operation.v1.operation_pb2 import Operation
from tests.mesh.plans import TOKEN, plan_of, trusting
from tests.spark.user import BUSY

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from savanna_all_in_one.mesh import Mesh
    from savanna_client import Client
    from tests.collector import Collector
    from tests.mesh.plans import WholePlan

pytestmark = pytest.mark.timeout(BUSY)

WAY = [
    "envoy",
    "savanna-api",
    "envoy",
    "savanna-conductor",
    "savanna-scheduler",
    "savanna-engine",
    "savanna-engine",
]
"""Who told the spans from the user's down to a command on a host."""

_USERS_OWN = "b7ad6b7169203331"
_SECONDS = 20.0


async def test_one_trace_leads_from_rest_through_envoy_and_all_services_to_ssh_on_hosts(
    real: Mesh,
) -> None:
    plan, trace = plan_of(real), uuid.uuid4().hex
    assert plan.collector is not None
    async with plan.client() as client:
        cluster_id = await launch(plan, client, f"00-{trace}-{_USERS_OWN}-01")
        spans = await collected(plan.collector, trace)
        deleted = await client.clusters.DeleteCluster(DeleteClusterRequest(id=cluster_id))
        await client.wait(deleted.operation.id)

    commands = [(each, span) for each, (_, span) in spans.items() if span.name == "remote command"]
    for span_id, span in commands:
        assert way(spans, span_id) == WAY
        told = {each.key: each.value.string_value for each in span.attributes}
        assert told["instance"].startswith("traced-")
        assert told["host"].startswith("198.")
        assert told["step"]
    assert {service for service, _ in spans.values()} >= {*WAY, "savanna-plugin-fake"}


async def launch(plan: WholePlan, client: Client, traceparent: str) -> str:
    """Launch a cluster by REST in a trace, and wait for it; gives its id."""
    cloud = (await client.catalog.GetCloud(GetCloudRequest())).cloud
    body = {
        "name": "traced",
        "plugin_name": "fake",
        "plugin_version": "0.1",
        "node_groups": [
            {"name": "main", "count": 1, "flavor_id": "2", "node_processes": ["namenode"]},
        ],
        "default_image_id": next(each.id for each in cloud.images if "fake" in each.tags),
        "neutron_management_network": cloud.networks[0].id,
    }
    headers = {"X-Auth-Token": TOKEN, "traceparent": traceparent}
    async with httpx.AsyncClient(verify=trusting(plan), headers=headers) as rest:
        answer = await rest.post(f"https://{plan.rest}/v2/clusters", json=body)
    assert answer.status_code == 202, answer.text
    cluster_id: str = answer.json()["cluster"]["id"]
    listed = await client.operations.ListOperations(ListOperationsRequest(cluster_id=cluster_id))
    ended = await client.wait(listed.operations[0].id)
    assert ended.state == Operation.STATE_SUCCEEDED, ended.failure
    return cluster_id


async def collected(collector: Collector, trace: str) -> dict[str, tuple[str, Span]]:
    """Give the spans of a trace when it is whole: a command is told, and every parent is."""
    deadline = time.monotonic() + _SECONDS
    while True:
        spans = collector.spans_of(trace)
        orphans = [
            f"{service} {span.name}"
            for service, span in spans.values()
            if span.parent_span_id.hex() not in {*spans, _USERS_OWN}
        ]
        if not orphans and any(span.name == "remote command" for _, span in spans.values()):
            return spans
        assert time.monotonic() < deadline, f"of {len(spans)} spans without parents: {orphans}"
        await asyncio.sleep(0.1)


def way(spans: dict[str, tuple[str, Span]], span_id: str) -> list[str]:
    """Name the services on the way from a user's request to a span."""
    found: list[str] = []
    while span_id != _USERS_OWN:
        service, span = spans[span_id]
        found.insert(0, service)
        span_id = span.parent_span_id.hex()
    return found
