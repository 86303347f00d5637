"""Job binaries and job templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response, StreamingResponse

from savanna_api_gateway.core.job_binaries import PIECE, has_bytes
from savanna_api_gateway.core.problems import Reason
from savanna_api_gateway.rest.handlers.items import Items
from savanna_api_gateway.rest.microversion import V2_1
from savanna_api_gateway.rest.resources.jobs import (
    JOB_BINARY,
    JOB_TEMPLATE,
    JOB_TYPES_2_1,
    job_type_schema,
)
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import FLAG, BodySchema
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.requests import Request

    from savanna.job.v1 import job_pb2
    from savanna_api_gateway.core.job_binaries import JobBinaries
    from savanna_api_gateway.core.job_templates import JobTemplates
    from savanna_api_gateway.rest.fields import Answer
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json


class JobBinaryItems(Items["job_pb2.JobBinary"]):
    """Job binaries and their bytes."""

    path = "/job-binaries"
    one, many = "job_binary", "binaries"

    def __init__(self, core: JobBinaries) -> None:
        super().__init__(core, JOB_BINARY)
        self._binaries = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        data = f"{self.path}/{{id}}/data"
        upload = Route("PUT", data, self.upload, find=self.find, raw=True, since=V2_1)
        download = Route("GET", data, self.download, find=self.find)
        return [*super().routes(), upload, download]

    async def store(
        self, call: Call, message: job_pb2.JobBinary, paths: Sequence[str]
    ) -> job_pb2.JobBinary:
        """Store one."""
        del paths
        return await self._binaries.create(call.caller, message, request_id=call.key)

    async def replace(
        self, call: Call, values: job_pb2.JobBinary, paths: Sequence[str]
    ) -> job_pb2.JobBinary:
        """Replace fields."""
        return await self._binaries.update(call.caller, call.subject.id, values, paths)

    async def upload(self, call: Call) -> Json:
        """Store the bytes that the body is."""
        pieces = _pieces(call.request)
        first = await anext(pieces, b"")
        if not first:
            raise errors.InvalidArgument(
                "The body is empty\nSend the bytes of the program as the body",
                reason=Reason.BAD_JOB_BINARY,
            )

        async def all_pieces() -> AsyncIterator[bytes]:
            yield first
            async for each in pieces:
                yield each

        stored = await self._binaries.upload(call.caller, call.subject, all_pieces())
        return {self.one: self.resource.show(stored)}

    async def download(self, call: Call) -> Response:
        """Give the bytes."""
        if not has_bytes(call.subject):
            raise errors.FailedPrecondition(
                f"Job binary '{call.subject.name}' has no bytes yet\nUpload them first",
                reason=Reason.BAD_JOB_BINARY,
            )
        pieces = self._binaries.read(call.subject)
        # The first piece is awaited here: a failure can still become an answer of its own.
        first = await anext(pieces, b"")

        async def all_pieces() -> AsyncIterator[bytes]:
            yield first
            async for each in pieces:
                yield each

        # Sahara says text/html, which a browser would run.
        return StreamingResponse(all_pieces(), media_type="application/octet-stream")


class JobTemplateItems(Items["job_pb2.JobTemplate"]):
    """Job templates."""

    path = "/job-templates"
    one, many = "job_template", "job_templates"
    sortable = ("id", "name", "type", "created_at", "updated_at")
    filters = ("type", "name")

    def __init__(self, core: JobTemplates) -> None:
        super().__init__(core, JOB_TEMPLATE)
        self._templates = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        # "streaming" means nothing since long ago; clients may still say it.
        older = self.resource.create_schema(streaming=FLAG)
        newer = self.resource.create_schema(streaming=FLAG, type=job_type_schema(JOB_TYPES_2_1))
        kept = [each for each in super().routes() if each.method != "POST"]
        return [
            *kept,
            Route("POST", self.path, self.create, body=BodySchema(older)),
            Route("POST", self.path, self.create, body=BodySchema(newer), since=V2_1),
        ]

    async def store(
        self, call: Call, message: job_pb2.JobTemplate, paths: Sequence[str]
    ) -> job_pb2.JobTemplate:
        """Store one."""
        del paths
        return await self._templates.create(call.caller, message, request_id=call.key)

    async def replace(
        self, call: Call, values: job_pb2.JobTemplate, paths: Sequence[str]
    ) -> job_pb2.JobTemplate:
        """Replace fields."""
        return await self._templates.update(call.caller, call.subject.id, values, paths)

    async def shown(
        self, call: Call, things: Sequence[job_pb2.JobTemplate], answer: Answer
    ) -> list[dict[str, Json]]:
        """Write them with the whole job binaries in place of their ids."""
        programs = await self._templates.programs(call.caller, things)
        shown = []
        for template in things:
            one = self.resource.show(template, answer)
            for name, ids in (("mains", template.mains), ("libs", template.libs)):
                one[name] = [JOB_BINARY.show(programs[each]) for each in ids if each in programs]
            shown.append(one)
        return shown


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Give the body in pieces that are worth a message each."""
    kept = bytearray()
    async for piece in request.stream():
        kept += piece
        if len(kept) >= PIECE:
            yield bytes(kept)
            kept.clear()
    if kept:
        yield bytes(kept)
