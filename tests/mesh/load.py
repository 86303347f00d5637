"""Users at work on a mesh: many small requests by REST, and launches, while it is being changed."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from savanna.operation.v1.operation_pb2 import Operation
from tests.e2e.user import User
from tests.mesh.plans import TOKEN, trusting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.mesh.plans import WholePlan

RATE = 50
"""Requests a second."""

_WRITES_EVERY = 5
_PATIENCE = 30.0


@dataclass
class Story:
    """What became of everything that was asked for."""

    seconds: list[float] = field(default_factory=list)
    """Of each request that was answered as it should."""

    failures: list[str] = field(default_factory=list)
    launches: int = 0
    failed_launches: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)
    written: set[str] = field(default_factory=set)
    """Names of templates whose creation was acknowledged."""

    def __str__(self) -> str:
        taken = sorted(self.seconds)
        lasted = time.monotonic() - self.begun
        return (
            f"{len(taken)} requests ({len(taken) / lasted:.0f}/s), {len(self.failures)} failed, "
            f"p50 {1000 * taken[len(taken) // 2]:.0f} ms, "
            f"p99 {1000 * taken[int(0.99 * len(taken))]:.0f} ms; "
            f"{self.launches} launches and deletes, {len(self.failed_launches)} failed"
        )


class Users:
    """Sends requests at a steady rate; ``again`` says whether a failed one is sent once more, with
    its key, as clients do that know of keys."""

    def __init__(self, plan: WholePlan, story: Story, *, again: bool) -> None:
        self._plan = plan
        self._story = story
        self._again = again
        self._number = 0

    async def request(self, rest: httpx.AsyncClient) -> None:
        """Send one request, of which every fifth is a write."""
        self._number += 1
        begun = time.monotonic()
        if self._number % _WRITES_EVERY:
            await self._send(rest.build_request("GET", "/v2/node-group-templates?limit=5"), rest)
        else:
            name = f"t-{uuid.uuid4().hex[:12]}"
            body = {
                "name": name,
                "plugin_name": "fake",
                "plugin_version": "0.1",
                "flavor_id": "2",
                "node_processes": ["datanode"],
            }
            key = {"Idempotency-Key": uuid.uuid4().hex}
            request = rest.build_request("POST", "/v2/node-group-templates", json=body, headers=key)
            if await self._send(request, rest):
                self._story.written.add(name)
        self._story.seconds.append(time.monotonic() - begun)

    async def _send(self, request: httpx.Request, rest: httpx.AsyncClient) -> bool:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                answer = await rest.send(request)
                why = (
                    "" if answer.status_code < 300 else f"{answer.status_code} {answer.text[:200]}"
                )
            except httpx.TransportError as error:
                why = repr(error)
            if not why:
                return True
            if not self._again or time.monotonic() > deadline:
                self._story.failures.append(f"{request.method} {request.url.path}: {why}")
                return False
            await asyncio.sleep(0.1)


@asynccontextmanager
async def at_work(plan: WholePlan, *, again: bool = False) -> AsyncIterator[Story]:
    """Let users work until the block ends, and what they began come to its end."""
    headers = {"X-Auth-Token": TOKEN}
    story, ended = Story(), asyncio.Event()
    users = Users(plan, story, again=again)
    async with (
        httpx.AsyncClient(
            verify=trusting(plan),
            base_url=f"https://{plan.rest}",
            headers=headers,
            timeout=_PATIENCE,
        ) as rest,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_steadily(users, rest, ended))
        group.create_task(_launch_and_delete(plan, story, ended))
        try:
            yield story
        finally:
            ended.set()


async def _steadily(users: Users, rest: httpx.AsyncClient, ended: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as group:
        due = time.monotonic()
        while not ended.is_set():
            group.create_task(users.request(rest))
            due += 1 / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _launch_and_delete(plan: WholePlan, story: Story, ended: asyncio.Event) -> None:
    async with plan.client() as client:
        user = User(client)
        while not ended.is_set():
            name = f"c-{uuid.uuid4().hex[:8]}"
            begun = await user.launch(name, 3)
            for end in (await client.wait(begun.operation.id), await user.delete(name)):
                if end.state != Operation.STATE_SUCCEEDED:
                    story.failed_launches.append(f"{name}: {end.failure}")
            story.launches += 1
