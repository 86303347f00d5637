"""One trace from a request by REST, through Envoy and all services, to the commands on hosts."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from typing import TYPE_CHECKING

import httpx

from savanna.api.v1.catalog_service_pb2 import GetCloudRequest
from savanna.api.v1.cluster_service_pb2 import ListOperationsRequest
from savanna.simulator.v1 import simulator_service_pb2_grpc
from savanna.simulator.v1.simulator_service_pb2 import ListCommandsRequest
from savanna_kit.channels import connect
from tests.mesh.plans import TOKEN, plan_of, trusting

if TYPE_CHECKING:
    from savanna_all_in_one.mesh import Mesh
    from tests.collector import Collector

SERVICES = {"savanna-api", "savanna-conductor", "savanna-engine", "savanna-plugin-fake"}
"""Who does something for a request. The scheduler hands its trace on and does nothing itself."""

_SECONDS = 20.0


async def test_the_trace_of_a_request_is_told_by_every_service_and_reaches_the_hosts(
    simulated: Mesh, collector: Collector
) -> None:
    plan, trace = plan_of(simulated), uuid.uuid4().hex
    body = {
        "name": "traced",
        "plugin_name": "fake",
        "plugin_version": "0.1",
        "node_groups": [
            {"name": "main", "count": 1, "flavor_id": "2", "node_processes": ["namenode"]},
        ],
    }
    async with plan.client() as client:
        cloud = (await client.catalog.GetCloud(GetCloudRequest())).cloud
        body["default_image_id"] = next(each.id for each in cloud.images if "fake" in each.tags)
        body["neutron_management_network"] = cloud.networks[0].id
        headers = {"X-Auth-Token": TOKEN, "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        async with httpx.AsyncClient(verify=trusting(plan), headers=headers) as rest:
            answer = await rest.post(f"https://{plan.rest}/v2/clusters", json=body)
        assert answer.status_code == 202, answer.text
        cluster_id = answer.json()["cluster"]["id"]
        listed = await client.operations.ListOperations(
            ListOperationsRequest(cluster_id=cluster_id)
        )
        await client.wait(listed.operations[0].id)

    async with connect(plan.address("simulator"), peer=plan.peer("simulator")) as channel:
        control = simulator_service_pb2_grpc.SimulatorControlServiceStub(channel)
        records = await control.ListCommands(ListCommandsRequest(name_glob="traced-*"))
    assert records.commands
    assert {each.environment["TRACEPARENT"].split("-")[1] for each in records.commands} == {trace}
    logged = [json.loads(each) for each in (plan.folder / "access.log").read_text().splitlines()]
    assert {"rest", "conductor"} <= {
        each["listener"] for each in logged if trace in (each.get("traceparent") or "")
    }
    deadline = time.monotonic() + _SECONDS
    while not (told := collector.services_of(trace)) >= SERVICES:
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.1)
