"""Programs, templates and runs over gRPC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import job_service_pb2 as pb
from savanna.api.v1 import job_service_pb2_grpc
from savanna_kit import errors
from savanna_kit.context import current
from savanna_kit.uploads import heard_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.job.v1.job_pb2 import JobBinary
    from savanna_api_gateway.core.api import Api


class JobServicer(job_service_pb2_grpc.JobServiceServicer):
    """Translates."""

    def __init__(self, api: Api) -> None:
        self._binaries = api.job_binaries
        self._templates = api.job_templates
        self._jobs = api.jobs

    async def CreateJobBinary(
        self, request: pb.CreateJobBinaryRequest, context: object
    ) -> pb.CreateJobBinaryResponse:
        """Check and store."""
        binary = await self._binaries.create(
            current(), request.job_binary, request_id=request.request_id
        )
        return pb.CreateJobBinaryResponse(job_binary=binary)

    async def UploadJobBinary(
        self, request: AsyncIterator[pb.UploadJobBinaryRequest], context: object
    ) -> pb.UploadJobBinaryResponse:
        """Store the bytes."""
        async with heard_out(request):
            stored = await self._stored(request)
        return pb.UploadJobBinaryResponse(job_binary=stored)

    async def _stored(self, request: AsyncIterator[pb.UploadJobBinaryRequest]) -> JobBinary:
        caller = current()
        first = await anext(request, None)
        if first is None:
            raise errors.InvalidArgument("the first message must name the job binary by id or name")
        binary = await self._binaries.shelf.find(caller.project_id, first.id)

        async def pieces() -> AsyncIterator[bytes]:
            yield first.data
            last = first.is_last
            async for each in request:
                yield each.data
                last = each.is_last
            if not last:
                raise errors.InvalidArgument(
                    "the upload was cut off: no message was marked as the last; upload again"
                )

        return await self._binaries.upload(caller, binary, pieces())

    async def ListJobBinaries(
        self, request: pb.ListJobBinariesRequest, context: object
    ) -> pb.ListJobBinariesResponse:
        """Read a page."""
        binaries, token = await self._binaries.shelf.page(
            current().project_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListJobBinariesResponse(job_binaries=binaries, next_page_token=token)

    async def DeleteJobBinary(
        self, request: pb.DeleteJobBinaryRequest, context: object
    ) -> pb.DeleteJobBinaryResponse:
        """Remove one by id or name."""
        caller = current()
        binary = await self._binaries.shelf.find(caller.project_id, request.id)
        await self._binaries.delete(caller, binary.id)
        return pb.DeleteJobBinaryResponse()

    async def CreateJobTemplate(
        self, request: pb.CreateJobTemplateRequest, context: object
    ) -> pb.CreateJobTemplateResponse:
        """Check and store."""
        template = await self._templates.create(
            current(), request.template, request_id=request.request_id
        )
        return pb.CreateJobTemplateResponse(template=template)

    async def ListJobTemplates(
        self, request: pb.ListJobTemplatesRequest, context: object
    ) -> pb.ListJobTemplatesResponse:
        """Read a page."""
        templates, token = await self._templates.shelf.page(
            current().project_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListJobTemplatesResponse(templates=templates, next_page_token=token)

    async def DeleteJobTemplate(
        self, request: pb.DeleteJobTemplateRequest, context: object
    ) -> pb.DeleteJobTemplateResponse:
        """Remove one by id or name."""
        caller = current()
        template = await self._templates.shelf.find(caller.project_id, request.id)
        await self._templates.delete(caller, template.id)
        return pb.DeleteJobTemplateResponse()

    async def RunJob(self, request: pb.RunJobRequest, context: object) -> pb.RunJobResponse:
        """Check and store with its operation."""
        # A message can not say that an empty interface was given, so it always was.
        run = await self._jobs.run(
            current(), request.job, interface_given=True, request_id=request.request_id
        )
        return pb.RunJobResponse(job=run.job, operation=run.operation)

    async def GetJob(self, request: pb.GetJobRequest, context: object) -> pb.GetJobResponse:
        """Read one."""
        return pb.GetJobResponse(job=await self._jobs.reads.get(current().project_id, request.id))

    async def ListJobs(self, request: pb.ListJobsRequest, context: object) -> pb.ListJobsResponse:
        """Read a page."""
        jobs, token = await self._jobs.reads.page(
            current().project_id,
            page_size=request.page_size,
            page_token=request.page_token,
            cluster_id=request.cluster_id,
        )
        return pb.ListJobsResponse(jobs=jobs, next_page_token=token)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: object
    ) -> pb.CancelJobResponse:
        """Ask for its end."""
        return pb.CancelJobResponse(job=await self._jobs.cancel(current(), request.id))

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: object
    ) -> pb.DeleteJobResponse:
        """Remove one."""
        await self._jobs.delete(current(), request.id)
        return pb.DeleteJobResponse()

    async def ReadJobOutput(
        self, request: pb.ReadJobOutputRequest, context: object
    ) -> pb.ReadJobOutputResponse:
        """Read kept output."""
        answer = await self._jobs.output(
            current(),
            request.id,
            stream=request.stream,
            offset=request.offset,
            limit=request.limit,
        )
        return pb.ReadJobOutputResponse(data=answer.data, job=answer.job)
