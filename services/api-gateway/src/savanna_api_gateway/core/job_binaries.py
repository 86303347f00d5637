"""Programs and libraries that jobs run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import grpc

from savanna.conductor.v1 import catalog_service_pb2, facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna_api_gateway.core import checks, masks
from savanna_api_gateway.core.ownership import check_changeable, check_deletable
from savanna_api_gateway.core.problems import Problems, Reason
from savanna_api_gateway.core.repeats import item_made_once
from savanna_api_gateway.core.templates import in_use, taken
from savanna_api_gateway.shelf import is_uuid, new_id
from savanna_kit import errors, status
from savanna_kit.interceptors import outgoing_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from savanna_api_gateway.conductor import Conductor
    from savanna_api_gateway.shelf import Shelf, Shelves
    from savanna_kit.context import RequestContext

JobBinary = job_pb2.JobBinary

INTERNAL = "internal-db"
PIECE = 256 * 2**10
"""Bytes of one message of an upload."""

_UPLOAD_SECONDS = 600.0
_SETTABLE = frozenset(("name", "description", "url", "extra", "is_public", "is_protected"))


class JobBinaries:
    """Keeps job binaries; their bytes lie with the conductor."""

    noun = "JobBinary"

    def __init__(self, conductor: Conductor, shelves: Shelves, *, limit: int) -> None:
        self.shelf: Shelf[JobBinary] = shelves.job_binaries
        self._conductor = conductor
        self._limit = limit

    async def create(
        self, caller: RequestContext, binary: JobBinary, *, request_id: str = ""
    ) -> JobBinary:
        """Check and store.

        Without a URL the bytes are to be uploaded.
        """
        return await item_made_once(
            self.shelf,
            caller,
            lambda: self._create(caller, binary, request_id),
            request_id=request_id,
        )

    async def _create(
        self, caller: RequestContext, binary: JobBinary, request_id: str
    ) -> JobBinary:
        problems = Problems()
        checks.check_name(problems, "name", binary.name)
        wanted = JobBinary()
        wanted.CopyFrom(binary)
        wanted.id = _internal_id(problems, binary.url)
        wanted.url = f"{INTERNAL}://{wanted.id}"
        problems.raise_any()
        try:
            return await self.shelf.create(caller.project_id, wanted, request_id)
        except errors.AlreadyExists as error:
            raise taken("Job binary", wanted.name) from error

    async def update(
        self, caller: RequestContext, item_id: str, values: JobBinary, paths: Sequence[str]
    ) -> JobBinary:
        """Replace fields; the URL of kept bytes never changes."""

        async def write() -> JobBinary:
            current = await self.shelf.get(caller.project_id, item_id)
            check_changeable(current, caller.project_id, self.noun, paths=paths)
            wanted = masks.changed(current, values, paths, _SETTABLE)
            if wanted.url != current.url:
                raise errors.FailedPrecondition(
                    "The url of a job binary whose bytes Savanna keeps can not be changed",
                    reason=Reason.UPDATE_FAILED,
                )
            problems = Problems()
            checks.check_name(problems, "name", wanted.name)
            problems.raise_any()
            return await self.shelf.update(caller.project_id, wanted, masks.tops(paths))

        try:
            return await masks.raced(write, again=True)
        except errors.AlreadyExists as error:
            raise taken("Job binary", values.name) from error

    async def delete(self, caller: RequestContext, item_id: str) -> None:
        """Remove it and its bytes."""
        current = await self.shelf.get(caller.project_id, item_id)
        check_deletable(current, caller.project_id, self.noun)
        try:
            await self.shelf.delete(caller.project_id, current.id)
        except errors.FailedPrecondition as error:
            message = "JobBinary is referenced and cannot be deleted"
            raise in_use(error, Reason.DELETION_FAILED, message) from error

    async def upload(
        self, caller: RequestContext, binary: JobBinary, pieces: AsyncIterator[bytes]
    ) -> JobBinary:
        """Store the bytes, replacing earlier ones.

        Raises ``ResourceExhausted`` over the limit.
        """
        check_changeable(binary, caller.project_id, self.noun)
        name = self.shelf.name(caller.project_id, binary.id)
        call = self._conductor.catalog.WriteJobBinary(
            metadata=outgoing_metadata(), timeout=_UPLOAD_SECONDS
        )
        try:
            # Written one by one: the call would swallow what an iterator of its own raises.
            async for request in self._requests(name, pieces):
                await call.write(request)
            await call.done_writing()
            response = await call
        except asyncio.InvalidStateError:
            # The conductor ended the call before it had everything; why, its answer tells.
            response = await _answered(call)
        except grpc.aio.AioRpcError as failure:
            raise status.from_rpc_error(failure) from failure
        finally:
            call.cancel()
        return response.job_binary

    async def read(self, binary: JobBinary) -> AsyncIterator[bytes]:
        """Give the kept bytes in pieces.

        Raises ``FailedPrecondition`` while there are none.
        """
        call = self._conductor.facts.ReadJobBinary(
            facts_service_pb2.ReadJobBinaryRequest(job_binary_id=binary.id),
            metadata=outgoing_metadata(),
            timeout=_UPLOAD_SECONDS,
        )
        try:
            async for response in call:
                yield response.data
        except grpc.aio.AioRpcError as failure:
            raise status.from_rpc_error(failure) from failure
        finally:
            call.cancel()

    async def _requests(
        self, name: catalog_service_pb2.ItemName, pieces: AsyncIterator[bytes]
    ) -> AsyncIterator[catalog_service_pb2.WriteJobBinaryRequest]:
        yield catalog_service_pb2.WriteJobBinaryRequest(name=name)
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > self._limit:
                raise errors.ResourceExhausted(
                    f"Size of internal binary ({size // 1024}KB) is greater than the maximum "
                    f"({self._limit // 1024}KB)",
                    reason=Reason.DATA_TOO_BIG,
                )
            for start in range(0, len(piece), PIECE):
                yield catalog_service_pb2.WriteJobBinaryRequest(data=piece[start : start + PIECE])
        yield catalog_service_pb2.WriteJobBinaryRequest(is_last=True)


async def _answered(
    call: grpc.aio.StreamUnaryCall[
        catalog_service_pb2.WriteJobBinaryRequest, catalog_service_pb2.WriteJobBinaryResponse
    ],
) -> catalog_service_pb2.WriteJobBinaryResponse:
    try:
        return await call
    except grpc.aio.AioRpcError as failure:
        raise status.from_rpc_error(failure) from failure


def has_bytes(binary: JobBinary) -> bool:
    """Whether the program can be fetched now."""
    return urlsplit(binary.url).scheme != INTERNAL or binary.size > 0


def _internal_id(problems: Problems, url: str) -> str:
    given = url.removeprefix(f"{INTERNAL}://")
    if not url or (given != url and not given):
        return new_id()
    if given == url or not is_uuid(given):
        problems.add(
            "url",
            Reason.INVALID_DATA,
            f"'{url}' is not a location that job binaries can have",
            f"Leave it empty or write {INTERNAL}:// or {INTERNAL}://UUID and upload the bytes",
        )
    return given
