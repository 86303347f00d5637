"""The client before a real gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.api.v1 import catalog_service_pb2, cluster_service_pb2, job_service_pb2
from savanna.job.v1.job_pb2 import Job, JobBinary
from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
from savanna_client import Client
from savanna_client.entry import UNREACHABLE
from savanna_client.repeats import RETRIES
from savanna_kit import errors
from tests.unit.api_gateway.orders import cluster, group_template
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.client.stage import Stage

cat, clu, jobs = catalog_service_pb2, cluster_service_pb2, job_service_pb2
TOKENS = """\
- {token: sesame, user_id: u, user_name: ann, project_id: p, project_name: p, roles: [member]}
"""


async def launch(client: Client, name: str = "c1") -> Operation:
    answer = await client.clusters.CreateCluster(clu.CreateClusterRequest(cluster=cluster(name)))
    return answer.operation


async def test_a_write_without_a_request_id_gets_one(stage: Stage, client: Client) -> None:
    request = clu.CreateClusterRequest(cluster=cluster())
    await client.clusters.CreateCluster(request)
    assert request.request_id == ""
    [(_, key)] = stage.memory.requests
    assert len(key) == 36


async def test_the_same_request_id_makes_one_cluster(stage: Stage, client: Client) -> None:
    request = clu.CreateClusterRequest(cluster=cluster(), request_id="r-1")
    first = await client.clusters.CreateCluster(request)
    second = await client.clusters.CreateCluster(request)
    assert first == second
    assert len(stage.memory.clusters) == 1


async def test_the_token_goes_along_with_calls_streams_and_uploads(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(TOKENS)
    async with staged(tmp_path, auth=f"tokens={tokens}") as stage:
        async with Client(stage.address) as unknown:
            with pytest.raises(errors.Unauthenticated):
                await unknown.clusters.ListClusters(clu.ListClustersRequest())
            with pytest.raises(errors.Unauthenticated):
                await anext(unknown.watch(operation_id="x"))
            with pytest.raises(errors.Unauthenticated):
                await unknown.upload("x", b"data")
        async with Client(stage.address, token="sesame", project="p") as known:
            operation = await launch(known)
            entry = await anext(known.watch(operation_id=operation.id))
            assert entry.project_id == "p"
            binary = await stored_binary(known)
            assert (await known.upload(binary, b"data")).size == 4


async def test_watching_goes_on_where_it_was_when_the_gateway_comes_back(
    stage: Stage, client: Client
) -> None:
    operation = await launch(client)
    breaks: list[errors.SavannaError] = []
    seen: list[JournalEntry] = []
    halfway = asyncio.Event()

    async def watch() -> None:
        async for entry in client.watch(operation_id=operation.id, on_break=breaks.append):
            seen.append(entry)
            if entry.task_id == "t1":
                halfway.set()

    watching = asyncio.create_task(watch())
    for number in range(2):
        tell_task(stage, operation, f"t{number}")
    async with asyncio.timeout(10):
        await halfway.wait()
        await stage.stop_gateway()
        tell_task(stage, operation, "t2")
        await stage.start_gateway()
        tell_task(stage, operation, "t3")
        stage.end(operation.id, state=Operation.STATE_SUCCEEDED)
        await watching
    assert [each.sequence for each in seen] == [1, 2, 3, 4, 5, 6]
    assert len(breaks) == 1
    assert stage.operations.asked == [0, 3]


async def test_an_outage_that_lasts_too_long_is_raised(stage: Stage, client: Client) -> None:
    operation = await launch(client)
    entries = client.watch(operation_id=operation.id, patience=0.2)
    await anext(entries)
    await stage.stop_gateway()
    with pytest.raises(errors.Unavailable) as caught:
        await anext(entries)
    assert caught.value.reason == UNREACHABLE
    assert stage.address in caught.value.message


async def test_outages_with_quiet_times_between_do_not_add_up(stage: Stage, client: Client) -> None:
    operation = await launch(client)
    entries = client.watch(operation_id=operation.id, patience=0.5)
    await anext(entries)
    rest = asyncio.create_task(collected(entries))
    async with asyncio.timeout(10):
        for number in range(2):
            await stage.stop_gateway()
            await stage.start_gateway()
            while len(stage.operations.asked) < number + 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.3)
        stage.end(operation.id, state=Operation.STATE_SUCCEEDED)
        assert len(await rest) == 1


async def test_watching_what_is_no_longer_told_ends_at_once(stage: Stage, client: Client) -> None:
    operation = await launch(client)
    stage.end(operation.id, state=Operation.STATE_SUCCEEDED)
    stage.memory.journal.clear()
    assert [each async for each in client.watch(operation_id=operation.id)] == []


async def test_watching_what_is_not_there_is_refused_at_once(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        await anext(client.watch(operation_id="nope"))


async def test_waiting_gives_the_operation_as_it_ended(stage: Stage, client: Client) -> None:
    operation = await launch(client)
    waiting = asyncio.create_task(client.wait(operation.id))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    stage.end(operation.id, state=Operation.STATE_FAILED, failure={"reason": "COMMAND_FAILED"})
    async with asyncio.timeout(5):
        ended = await waiting
    assert ended.failure.reason == "COMMAND_FAILED"
    # One that has ended is not followed at all.
    assert (await client.wait(operation.id)).state == Operation.STATE_FAILED
    assert len(stage.operations.asked) == 1


async def test_waiting_may_begin_while_nobody_is_there(stage: Stage, client: Client) -> None:
    operation = await launch(client)
    stage.end(operation.id, state=Operation.STATE_SUCCEEDED)
    await stage.stop_gateway()
    waiting = asyncio.create_task(client.wait(operation.id))
    # Longer than gRPC itself tries again.
    await asyncio.sleep(1.0)
    assert not waiting.done()
    await stage.start_gateway()
    async with asyncio.timeout(5):
        assert (await waiting).state == Operation.STATE_SUCCEEDED


@pytest.mark.parametrize("size", [0, 1, 256 * 2**10, 256 * 2**10 + 1, 700_000])
async def test_bytes_arrive_as_they_were(
    stage: Stage, client: Client, tmp_path: Path, size: int
) -> None:
    data = bytes(number % 251 for number in range(size))
    file = tmp_path / "program"
    file.write_bytes(data)
    binary = await stored_binary(client)
    for source in (data, file):
        stored = await client.upload(binary, source)
        assert stored.size == size
        assert stage.memory.data[binary.id] == data


async def test_an_upload_to_nothing_is_refused_with_its_reason(client: Client) -> None:
    with pytest.raises(errors.NotFound):
        await client.upload("nope", b"x" * 5_000_000)


async def test_output_is_followed_until_the_job_has_ended(stage: Stage, client: Client) -> None:
    job = await running_job(stage, client)
    stage.memory.output = b"one\n"
    pieces = client.follow_output(job.id)
    assert await anext(pieces) == b"one\n"
    stage.memory.output += b"two\n"
    assert await anext(pieces) == b"two\n"
    stage.memory.output += b"three\n"
    stage.memory.jobs[job.id].state = Job.STATE_SUCCEEDED
    assert [each async for each in pieces] == [b"three\n"]


async def test_output_is_followed_through_an_outage(stage: Stage, client: Client) -> None:
    job = await running_job(stage, client)
    stage.memory.output = b"one\n"
    pieces = client.follow_output(job.id)
    assert await anext(pieces) == b"one\n"
    await stage.stop_gateway()
    stage.memory.output += b"two\n"
    stage.memory.jobs[job.id].state = Job.STATE_SUCCEEDED
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        coming = group.create_task(stage.start_gateway())
        assert await anext(pieces) == b"two\n"
    assert coming.done()


async def test_a_listing_is_read_to_its_end(client: Client) -> None:
    for number in range(5):
        await client.catalog.CreateNodeGroupTemplate(
            cat.CreateNodeGroupTemplateRequest(template=group_template(name=f"t{number}"))
        )
    request = cat.ListNodeGroupTemplatesRequest(page_size=2)
    answer = await client.whole(client.catalog.ListNodeGroupTemplates, request)
    assert [each.name for each in answer.templates] == [f"t{number}" for number in range(5)]
    assert not answer.next_page_token


async def test_nobody_there_is_told_from_savanna_saying_no(tmp_path: Path) -> None:
    async with Client(f"unix:{tmp_path}/nobody.sock") as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.clusters.ListClusters(clu.ListClustersRequest())
    assert caught.value.reason == UNREACHABLE


def test_only_what_can_be_repeated_is_repeated() -> None:
    methods = {each.rpartition("/")[2] for each in RETRIES.methods}
    assert {"GetCluster", "ListJobs", "ReadJobOutput", "CreateCluster", "RunJob"} <= methods
    assert not methods & {"DeleteCluster", "CancelJob", "WatchOperations", "UploadJobBinary"}
    assert "savanna.api.v1.ClusterService/ScaleCluster" in RETRIES.methods


def tell_task(stage: Stage, operation: Operation, task_id: str) -> None:
    stage.tell(operation_id=operation.id, task_id=task_id, kind=JournalEntry.KIND_TASK_CREATED)


async def collected(entries: AsyncIterator[JournalEntry]) -> list[JournalEntry]:
    return [each async for each in entries]


async def stored_binary(client: Client) -> JobBinary:
    request = jobs.CreateJobBinaryRequest(job_binary=JobBinary(name="main"))
    return (await client.jobs.CreateJobBinary(request)).job_binary


async def running_job(stage: Stage, client: Client) -> Job:
    operation = await launch(client)
    job = Job(
        id="j1",
        project_id=operation.project_id,
        cluster_id=operation.cluster_id,
        state=Job.STATE_RUNNING,
    )
    stage.memory.jobs[job.id] = job
    return job
