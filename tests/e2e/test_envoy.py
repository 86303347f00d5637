"""A mesh behind the real Envoy: all calls go through it, and a gateway that dies is passed by."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.operation.v1.operation_pb2 import Operation
from savanna_client import ends_operation
from savanna_kit import telemetry
from savanna_kit.context import KEY_HEADER
from tests.e2e.meshes import user_of
from tests.e2e.proxied import GATEWAYS, proxied_mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.proxied import Proxied

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECONDS = 40.0
CALLERS = 6


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Run the mesh once for all tests here."""
    folder = tmp_path_factory.mktemp("proxied")
    with proxied_mesh(folder, f"sqlite:///{folder}/savanna.db") as proxied:
        yield proxied


@pytest.fixture
async def rest(proxied: Proxied) -> AsyncIterator[httpx.AsyncClient]:
    """Give a caller of REST, once Envoy has found that somebody serves it."""
    async with httpx.AsyncClient(base_url=proxied.rest, timeout=SECONDS) as caller:
        async with asyncio.timeout(SECONDS):
            while (await caller.get("/v2/plugins")).status_code != 200:
                await asyncio.sleep(0.05)
        yield caller


async def test_users_and_services_reach_each_other_through_envoy(
    proxied: Proxied, rest: httpx.AsyncClient
) -> None:
    wanted = {"name": "program", "url": "internal-db://"}
    made = await rest.post(
        "/v2/job-binaries", json=wanted, headers={telemetry.TRACEPARENT: TRACEPARENT}
    )
    assert made.status_code == 202
    path = f"/v2/job-binaries/{made.json()['job_binary']['id']}"
    assert (await rest.get(path)).json()["job_binary"]["name"] == "program"
    versions = (await rest.get("/")).json()["versions"]
    assert versions[0]["links"][0]["href"] == f"{proxied.rest}/v2/"

    async with user_of(proxied.mesh) as user:
        with telemetry.span("a user's own span", TRACEPARENT):
            begun = await user.launch("proxied", workers=1)
        watched = [each async for each in user.client.watch(operation_id=begun.operation.id)]
        assert any(ends_operation(each) for each in watched)
        launch = await user.client.operation(begun.operation.id)
        assert launch.state == Operation.STATE_SUCCEEDED

    await _logged(proxied)


async def _logged(proxied: Proxied) -> None:
    """Look at what Envoy tells of the calls, once it has written it."""
    async with asyncio.timeout(SECONDS):
        while not [each for each in proxied.logged("grpc") if "Watch" in each["path"]]:
            await asyncio.sleep(0.05)
    (post,) = (each for each in proxied.logged("rest") if each["method"] == "POST")
    assert TRACE in post["traceparent"]
    assert post["request_id"].startswith("req-")
    assert post["upstream_host"] in proxied.rests
    for listener, method, caller in (
        ("grpc", "CreateCluster", None),
        ("conductor", "CreateCluster", "spiffe://savanna/api"),
        ("plugins-fake", "Plan", "spiffe://savanna/engine"),
    ):
        (call, *_) = (each for each in proxied.logged(listener) if each["path"].endswith(method))
        assert TRACE in call["traceparent"], call
        assert (call["grpc_status"], call["flags"]) == ("OK", "-")
        # The client gives each write a key, and says it where a proxy can see it.
        assert call["route"] == ("ask" if method == "Plan" else "keyed-write")
        assert call["request_id"].startswith("req-")
        assert call.get("caller") == caller
    assert proxied.logged("engines")
    # The stream of the engine lasts, and is told when it ends: that tasks were done is its work.


async def test_when_a_gateway_is_killed_only_calls_in_its_hands_fail(
    proxied: Proxied, rest: httpx.AsyncClient
) -> None:
    load, before = Load(rest), len(proxied.logged("rest"))
    async with user_of(proxied.mesh) as user, asyncio.TaskGroup() as group:
        await user.launch("before", workers=0)
        watches = [user.client.watch(patience=SECONDS) for _ in range(4)]
        async with asyncio.timeout(SECONDS):
            for each in watches:
                await anext(each)
        for number in range(CALLERS):
            group.create_task(load.call(number))
        await load.until(4)
        await asyncio.to_thread(proxied.mesh.kill, GATEWAYS[0])
        load.killed = True
        await load.until(8)
        load.ended = True
        # Those that hung on the killed one go on where they stood, on the other.
        begun = await user.launch("after", workers=0)
        for each in watches:
            async with asyncio.timeout(SECONDS):
                while (await anext(each)).operation_id != begun.operation.id:
                    pass
    assert load.surprises == []
    assert load.failures <= CALLERS
    failed = [each for each in proxied.logged("rest")[before:] if each["status"] >= 500]
    assert {(each["method"], each["route"]) for each in failed} <= {("POST", "write")}


class Load:
    """Callers who read and write, one after the other, every second of them with keys."""

    def __init__(self, rest: httpx.AsyncClient) -> None:
        self._rest = rest
        self._done: Counter[int] = Counter()
        self.killed = self.ended = False
        self.failures = 0
        self.surprises: list[str] = []
        """Failures of calls that were in nobody's hands, or may be sent again."""

    async def until(self, rounds: int) -> None:
        """Wait until every caller has got on by so many rounds."""
        wanted = {number: self._done[number] + rounds for number in range(CALLERS)}
        async with asyncio.timeout(SECONDS):
            while any(self._done[number] < count for number, count in wanted.items()):
                await asyncio.sleep(0.02)

    async def call(self, number: int) -> None:
        """Write and read until the end."""
        while not self.ended:
            body = {"name": f"p-{number}-{self._done[number]}", "url": "internal-db://"}
            key = {KEY_HEADER: str(uuid.uuid4())} if number % 2 else {}
            begun_late = self.killed
            answer = await self._rest.post("/v2/job-binaries", json=body, headers=key)
            if answer.status_code != 202:
                self.failures += 1
                if key or begun_late:
                    self.surprises.append(f"{body} {key}: {answer.status_code} {answer.text}")
            answer = await self._rest.get("/v2/job-binaries")
            if answer.status_code != 200:
                self.surprises.append(f"GET: {answer.status_code} {answer.text}")
            self._done[number] += 1
