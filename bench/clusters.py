"""Clusters of the fake plugin, launched and deleted through REST and watched through gRPC."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.web import request
from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna.api.v1 import cluster_service_pb2 as api
from savanna.operation.v1.operation_pb2 import Operation
from savanna_client import Client, ends_operation

if TYPE_CHECKING:
    from typing import Any

    from bench.web import Line
    from savanna.operation.v1.operation_pb2 import JournalEntry, TaskHistory

PATIENCE = 240.0
"""Seconds after which a launch or a delete counts as hanging."""


class LaunchError(Exception):
    """A cluster that did not become what it should; the text says why."""


@dataclass(frozen=True)
class Ended:
    """An operation that has succeeded, and the seconds from the request until that was known."""

    operation: Operation
    seconds: float


class Launcher:
    """Launches and deletes, and waits for the end of each by watching the journal."""

    def __init__(self, client: Client, line: Line) -> None:
        self._client = client
        self._line = line

    async def launch(self, name: str, nodes: int) -> tuple[str, Ended]:
        """Launch a cluster through REST; its id, and how it went."""
        body = await self._wanted(name, nodes)
        begun = time.perf_counter()
        answer = await self._line.json(request("POST", "/v2/clusters", body), 202)
        cluster_id: str = answer["cluster"]["id"]
        return cluster_id, await self._end_of(cluster_id, begun, Operation.GOAL_LAUNCH)

    async def delete(self, cluster_id: str) -> Ended:
        """Delete a cluster through REST."""
        begun = time.perf_counter()
        await self._line.ask(request("DELETE", f"/v2/clusters/{cluster_id}"), 204)
        return await self._end_of(cluster_id, begun, Operation.GOAL_DELETE)

    async def tasks(self, operation: Operation) -> list[TaskHistory]:
        """Read the tasks of an operation with their attempts."""
        wanted = api.GetOperationRequest(id=operation.id)
        return list((await self._client.operations.GetOperation(wanted)).tasks)

    async def _end_of(self, cluster_id: str, begun: float, goal: Operation.Goal.ValueType) -> Ended:
        async with asyncio.timeout(PATIENCE):
            listed = await self._client.operations.ListOperations(
                api.ListOperationsRequest(cluster_id=cluster_id)
            )
            wanted = next(each for each in listed.operations if each.goal == goal)
            last = await self._last_entry(wanted.id)
        seconds = time.perf_counter() - begun
        operation = await self._client.operation(wanted.id)
        if operation.state != Operation.STATE_SUCCEEDED:
            raise LaunchError(f"{last}: {operation.failure.message}")
        return Ended(operation, seconds)

    async def _last_entry(self, operation_id: str) -> JournalEntry | None:
        async for entry in self._client.watch(operation_id=operation_id):
            if ends_operation(entry, operation_id):
                return entry
        return None

    async def _wanted(self, name: str, nodes: int) -> dict[str, Any]:
        offered = (await self._client.catalog.GetCloud(catalog.GetCloudRequest())).cloud
        image = next(each for each in offered.images if "fake" in each.tags)
        smallest = min(offered.flavors, key=lambda each: each.ram)
        groups = (("main", 1, ["namenode", "jobtracker"]), ("worker", nodes - 1, ["datanode"]))
        return {
            "name": name,
            "plugin_name": "fake",
            "plugin_version": "0.1",
            "default_image_id": image.id,
            "neutron_management_network": offered.networks[0].id,
            "node_groups": [
                {
                    "name": group,
                    "count": count,
                    "flavor_id": smallest.id,
                    "node_processes": processes,
                }
                for group, count, processes in groups
                if count
            ],
        }
