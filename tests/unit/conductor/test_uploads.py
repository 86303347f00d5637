"""Bytes of job binaries: all of them or none, and never a mixture."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from typing import TYPE_CHECKING

import grpc
import pytest
from sqlalchemy import func, select

from savanna.conductor.v1 import catalog_service_pb2 as pb
from savanna.conductor.v1 import facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna_conductor.store import dialect, schema
from savanna_kit.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SavannaError,
)
from savanna_kit.status import from_rpc_error
from tests.unit.conductor.conftest import PROJECT, Conductor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_conductor.settings import ConductorSettings

PIECE = 256 * 2**10
JobBinary = job_pb2.JobBinary


async def stored(conductor: Conductor, **more: str) -> JobBinary:
    item = pb.Item(job_binary=JobBinary(name="main.py", url=more.get("url", "")))
    return (await conductor.item(item)).job_binary


def requests(
    binary_id: str, data: bytes, *, whole: bool = True, project_id: str = PROJECT
) -> list[pb.WriteJobBinaryRequest]:
    name = pb.ItemName(project_id=project_id, kind=pb.ITEM_KIND_JOB_BINARY, id=binary_id)
    pieces = [
        pb.WriteJobBinaryRequest(data=data[start : start + PIECE])
        for start in range(0, len(data), PIECE)
    ]
    end = [pb.WriteJobBinaryRequest(is_last=True)] if whole else []
    return [pb.WriteJobBinaryRequest(name=name), *pieces, *end]


async def upload(conductor: Conductor, messages: Iterable[pb.WriteJobBinaryRequest]) -> JobBinary:
    try:
        return (await conductor.catalog.WriteJobBinary(iter(messages))).job_binary
    except grpc.aio.AioRpcError as failure:
        raise from_rpc_error(failure) from failure


async def read(conductor: Conductor, binary_id: str) -> bytes:
    request = facts_service_pb2.ReadJobBinaryRequest(job_binary_id=binary_id)
    try:
        return b"".join([each.data async for each in conductor.facts.ReadJobBinary(request)])
    except grpc.aio.AioRpcError as failure:
        raise from_rpc_error(failure) from failure


async def look(conductor: Conductor, binary_id: str) -> JobBinary:
    name = pb.ItemName(project_id=PROJECT, kind=pb.ITEM_KIND_JOB_BINARY, id=binary_id)
    answer = await conductor.catalog.GetItems(pb.GetItemsRequest(names=[name]))
    return answer.items[0].job_binary


def kept_rows(settings: ConductorSettings) -> int:
    engine = dialect.open_engine(settings.database_url, readers=1)
    with engine.connect() as connection:
        count = connection.execute(select(func.count()).select_from(schema.blob)).scalar_one()
    engine.dispose()
    return int(count)


@pytest.mark.parametrize("size", [1, PIECE, 2 * PIECE + 1, 2**20])
async def test_bytes_come_back_as_they_went_in(conductor: Conductor, size: int) -> None:
    binary = await stored(conductor)
    data = os.urandom(size)
    answer = await upload(conductor, requests(binary.id, data))
    assert (answer.size, answer.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert answer.revision == 2
    assert await look(conductor, binary.id) == answer
    assert await read(conductor, binary.id) == data


async def test_new_bytes_replace_the_old_ones_wholly(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    await upload(conductor, requests(binary.id, os.urandom(3 * PIECE)))
    await upload(conductor, requests(binary.id, b"short"))
    assert await read(conductor, binary.id) == b"short"
    assert kept_rows(settings) == 1


async def test_an_upload_that_ends_too_early_stores_nothing(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    with pytest.raises(InvalidArgument, match="cut off"):
        await upload(conductor, requests(binary.id, os.urandom(2 * PIECE), whole=False))
    assert kept_rows(settings) == 0
    with pytest.raises(FailedPrecondition, match="has no bytes"):
        await read(conductor, binary.id)


async def test_an_upload_given_up_by_its_caller_stores_nothing(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    await upload(conductor, requests(binary.id, b"before"))
    call = conductor.catalog.WriteJobBinary()
    for each in requests(binary.id, os.urandom(3 * PIECE), whole=False):
        await call.write(each)
    call.cancel()
    await asyncio.sleep(0.1)
    assert await read(conductor, binary.id) == b"before"
    assert kept_rows(settings) == 1


async def test_more_bytes_than_the_limit_are_refused_with_the_setting_to_raise(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    with pytest.raises(ResourceExhausted, match="SAVANNA_CONDUCTOR_JOB_BINARY_LIMIT"):
        await upload(conductor, requests(binary.id, bytes(2**20 + 1)))
    assert kept_rows(settings) == 0


async def test_bytes_are_taken_only_for_ones_own_unprotected_binary_that_is_kept_here(
    conductor: Conductor,
) -> None:
    binary = await stored(conductor)
    with pytest.raises(NotFound):
        await upload(conductor, requests(str(uuid.uuid4()), b"x"))
    with pytest.raises(NotFound):
        await upload(conductor, requests(binary.id, b"x", project_id="p2"))
    with pytest.raises(InvalidArgument, match="first message must name"):
        await upload(conductor, [pb.WriteJobBinaryRequest(data=b"x", is_last=True)])
    with pytest.raises(InvalidArgument, match="no bytes"):
        await upload(conductor, requests(binary.id, b""))
    elsewhere = pb.Item(job_binary=JobBinary(name="far", url="s3://bucket/far.jar"))
    far = (await conductor.item(elsewhere)).job_binary
    with pytest.raises(FailedPrecondition, match=r"are at s3://bucket/far\.jar"):
        await upload(conductor, requests(far.id, b"x"))
    held = pb.Item(job_binary=JobBinary(name="held", is_protected=True))
    protected = (await conductor.item(held)).job_binary
    with pytest.raises(FailedPrecondition, match="is protected"):
        await upload(conductor, requests(protected.id, b"x"))


async def test_of_two_uploads_at_once_one_is_kept_whole(
    conductor: Conductor, other_conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    contents = [os.urandom(3 * PIECE), os.urandom(4 * PIECE)]
    outcomes = await asyncio.gather(
        *(
            upload(each, requests(binary.id, data))
            for each, data in zip((conductor, other_conductor), contents, strict=True)
        ),
        return_exceptions=True,
    )
    assert all(isinstance(each, JobBinary | SavannaError) for each in outcomes)
    now = await look(conductor, binary.id)
    data = await read(conductor, binary.id)
    assert data in contents
    assert now.sha256 == hashlib.sha256(data).hexdigest()
    assert kept_rows(settings) == len(data) // PIECE


async def test_reading_never_gives_a_mixture_of_old_and_new_bytes(conductor: Conductor) -> None:
    binary = await stored(conductor)
    contents = [bytes([number]) * (4 * PIECE) for number in range(6)]
    await upload(conductor, requests(binary.id, contents[0]))

    async def read_again_and_again() -> None:
        for _ in range(12):
            try:
                data = await read(conductor, binary.id)
            except Aborted:
                continue
            assert data in contents

    async with asyncio.TaskGroup() as group:
        group.create_task(read_again_and_again())
        for data in contents[1:]:
            await upload(conductor, requests(binary.id, data))


async def test_the_bytes_go_with_their_binary(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    binary = await stored(conductor)
    await upload(conductor, requests(binary.id, b"gone soon"))
    name = pb.ItemName(project_id=PROJECT, kind=pb.ITEM_KIND_JOB_BINARY, id=binary.id)
    await conductor.catalog.DeleteItem(pb.DeleteItemRequest(name=name))
    assert kept_rows(settings) == 0
    with pytest.raises(NotFound, match="there is no job binary"):
        await read(conductor, binary.id)
