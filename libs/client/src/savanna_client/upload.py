"""Sending the bytes of a job binary, piece by piece, the last one marked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from savanna.api.v1 import job_service_pb2 as pb
from savanna_client.entry import failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.api.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from savanna.job.v1.job_pb2 import JobBinary
    from savanna_client.entry import Metadata

PIECE = 256 * 2**10
"""Bytes of one message."""

_SECONDS = 600.0


async def send(
    jobs: JobServiceAsyncStub,
    binary_id: str,
    source: Path | bytes,
    *,
    address: str,
    metadata: Metadata,
) -> JobBinary:
    """Send the bytes and give the job binary with its size and digest."""
    call = jobs.UploadJobBinary(metadata=metadata, timeout=_SECONDS)
    try:
        async for request in _requests(binary_id, source):
            await call.write(request)
        await call.done_writing()
        response = await call
    except asyncio.InvalidStateError:
        # The gateway ended the call before it had everything; why, its answer tells.
        response = await _answered(call, address)
    except grpc.aio.AioRpcError as lost:
        raise failure(lost, address) from lost
    finally:
        call.cancel()
    return response.job_binary


async def _answered(
    call: grpc.aio.StreamUnaryCall[pb.UploadJobBinaryRequest, pb.UploadJobBinaryResponse],
    address: str,
) -> pb.UploadJobBinaryResponse:
    try:
        return await call
    except grpc.aio.AioRpcError as lost:
        raise failure(lost, address) from lost


async def _requests(
    binary_id: str, source: Path | bytes
) -> AsyncIterator[pb.UploadJobBinaryRequest]:
    """Give the messages: the first names the job binary, the last says that it is."""
    named, held = binary_id, b""
    async for piece in _pieces(source):
        if held:
            yield pb.UploadJobBinaryRequest(id=named, data=held)
            named = ""
        held = piece
    yield pb.UploadJobBinaryRequest(id=named, data=held, is_last=True)


async def _pieces(source: Path | bytes) -> AsyncIterator[bytes]:
    if isinstance(source, bytes):
        for start in range(0, len(source), PIECE):
            yield source[start : start + PIECE]
        return
    file = await asyncio.to_thread(Path(source).open, "rb")
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
