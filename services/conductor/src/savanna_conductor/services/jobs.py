"""Jobs, as the gateway asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import cluster_service_pb2_grpc as stubs
from savanna_conductor import job_queries, queries, submissions

if TYPE_CHECKING:
    import grpc

    from savanna_conductor.store.transaction import Store, Transaction

    Context = grpc.aio.ServicerContext[object, object]


class JobService(stubs.JobServiceServicer):
    """Keeps jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def CreateJob(
        self, request: messages.CreateJobRequest, context: Context
    ) -> messages.CreateJobResponse:
        """Store a job and the operation that runs it."""

        def write(transaction: Transaction) -> messages.CreateJobResponse:
            job_id = submissions.create(transaction, request)
            name = messages.OwnedName(project_id=request.project_id, id=job_id)
            job = job_queries.job(transaction.connection, name)
            operation = queries.operation(transaction.connection, job.operation_id)
            return messages.CreateJobResponse(job=job, operation=operation)

        return await self._store.write(write)

    async def GetJobs(
        self, request: messages.GetJobsRequest, context: Context
    ) -> messages.GetJobsResponse:
        """Read jobs by id."""
        found = await self._store.read(lambda c: job_queries.jobs(c, request.names))
        return messages.GetJobsResponse(jobs=found)

    async def ListJobs(
        self, request: messages.ListJobsRequest, context: Context
    ) -> messages.ListJobsResponse:
        """List jobs."""
        found, token = await self._store.read(lambda c: job_queries.list_jobs(c, request))
        return messages.ListJobsResponse(jobs=found, next_page_token=token)

    async def CancelJob(
        self, request: messages.CancelJobRequest, context: Context
    ) -> messages.CancelJobResponse:
        """Ask for the end of a job."""

        def write(transaction: Transaction) -> messages.CancelJobResponse:
            submissions.cancel(transaction, request.name)
            job = job_queries.job(transaction.connection, request.name)
            return messages.CancelJobResponse(job=job)

        return await self._store.write(write)

    async def DeleteJob(
        self, request: messages.DeleteJobRequest, context: Context
    ) -> messages.DeleteJobResponse:
        """Remove a job, once it has ended."""
        await self._store.write(lambda tx: submissions.remove(tx, request.name))
        return messages.DeleteJobResponse()

    async def ReadJobOutput(
        self, request: messages.ReadJobOutputRequest, context: Context
    ) -> messages.ReadJobOutputResponse:
        """Read kept output from a position."""
        return await self._store.read(lambda c: job_queries.output(c, request))
