"""A mesh behind the real Envoy: all calls go through it, and a gateway that dies is passed by."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.operation.v1.operation_pb2 import Operation
from savanna_client import ends_operation
from savanna_kit import telemetry
from tests.e2e.meshes import user_of
from tests.e2e.proxied import GATEWAYS, proxied_mesh

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.e2e.proxied import Proxied

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SECONDS = 20.0
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
    for listener, method in (
        ("grpc", "CreateCluster"),
        ("conductor", "CreateCluster"),
        ("plugins-fake", "Plan"),
    ):
        (call, *_) = (each for each in proxied.logged(listener) if each["path"].endswith(method))
        assert TRACE in call["traceparent"], call
        assert (call["grpc_status"], call["flags"]) == ("OK", "-")
        assert call["request_id"].startswith("req-")
    assert proxied.logged("engines")
    # The stream of the engine lasts, and is told when it ends: that tasks were done is its work.


async def test_when_a_gateway_is_killed_only_calls_in_its_hands_fail(
    proxied: Proxied, rest: httpx.AsyncClient
) -> None:
    counts: Counter[tuple[str, int]] = Counter()
    killed, ended = asyncio.Event(), asyncio.Event()
    late: list[str] = []

    async def call(number: int) -> None:
        while not ended.is_set():
            begun_late = killed.is_set()
            name = f"p-{number}-{counts.total()}"
            writing = rest.post("/v2/job-binaries", json={"name": name, "url": "internal-db://"})
            for verb, answer in (
                ("POST", await writing),
                ("GET", await rest.get("/v2/job-binaries")),
            ):
                counts[verb, answer.status_code] += 1
                if answer.is_error and (begun_late or verb == "GET"):
                    late.append(f"{verb}: {answer.status_code} {answer.text}")

    async with user_of(proxied.mesh) as user, asyncio.TaskGroup() as group:
        watches = [user.client.watch(patience=SECONDS) for _ in range(4)]
        for each in watches:
            await anext(each)
        for number in range(CALLERS):
            group.create_task(call(number))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(proxied.mesh.kill, GATEWAYS[0])
        killed.set()
        before = counts["POST", 202]
        async with asyncio.timeout(SECONDS):
            while counts["POST", 202] < before + 10 * CALLERS:
                await asyncio.sleep(0.05)
        ended.set()
        # Those that hung on the killed one go on where they stood, on the other.
        begun = await user.launch("after", workers=0)
        for each in watches:
            async with asyncio.timeout(SECONDS):
                while (await anext(each)).operation_id != begun.operation.id:
                    pass
    assert late == []
    assert set(counts) <= {("POST", 202), ("POST", 503), ("GET", 200)}
    assert counts["POST", 503] <= CALLERS
    log = [each for each in proxied.logged("rest") if each["status"] == 503]
    assert {each["flags"] for each in log} <= {"UC", "UH"}
