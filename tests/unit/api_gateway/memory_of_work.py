"""What the conductor that remembers in memory knows of jobs and operations."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.conductor.v1 import (
    cluster_service_pb2 as pb,
)
from savanna.conductor.v1 import (
    cluster_service_pb2_grpc,
    mesh_service_pb2,
    mesh_service_pb2_grpc,
)
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_kit import errors
from tests.unit.api_gateway.memory import now, visible

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.unit.api_gateway.memory import Memory


class MeshService(mesh_service_pb2_grpc.MeshServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def GetMeshStatus(
        self, request: mesh_service_pb2.GetMeshStatusRequest, context: object
    ) -> mesh_service_pb2.GetMeshStatusResponse:
        return mesh_service_pb2.GetMeshStatusResponse(status=self.memory.mesh)


class JobService(cluster_service_pb2_grpc.JobServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    async def CreateJob(
        self, request: pb.CreateJobRequest, context: object
    ) -> pb.CreateJobResponse:
        answer: pb.CreateJobResponse | None = self.memory.made(request)
        if answer is not None:
            return answer
        job = request.job
        job.id = str(uuid.uuid4())
        job.project_id = request.project_id
        job.state = job_pb2.Job.STATE_PENDING
        job.create_time.CopyFrom(now())
        self.memory.jobs[job.id] = job
        cluster = self.memory.clusters[job.cluster_id]
        operation = self.memory.begin(
            request.project_id, cluster, operation_pb2.Operation.GOAL_RUN_JOB
        )
        answer = pb.CreateJobResponse(job=job, operation=operation)
        self.memory.remember(request, answer)
        return answer

    async def GetJobs(self, request: pb.GetJobsRequest, context: object) -> pb.GetJobsResponse:
        answer = pb.GetJobsResponse()
        for name in request.names:
            each = self.memory.jobs.get(name.id)
            found = each is not None and visible(each, name.project_id)
            answer.jobs.append(each if found and each is not None else job_pb2.Job())
        return answer

    async def ListJobs(self, request: pb.ListJobsRequest, context: object) -> pb.ListJobsResponse:
        jobs = [
            each
            for each in self.memory.jobs.values()
            if visible(each, request.project_id)
            and (not request.cluster_id or each.cluster_id == request.cluster_id)
        ]
        return pb.ListJobsResponse(jobs=jobs)

    async def CancelJob(
        self, request: pb.CancelJobRequest, context: object
    ) -> pb.CancelJobResponse:
        job = self.memory.jobs[request.name.id]
        job.state = job_pb2.Job.STATE_TO_BE_KILLED
        return pb.CancelJobResponse(job=job)

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: object
    ) -> pb.DeleteJobResponse:
        del self.memory.jobs[request.name.id]
        return pb.DeleteJobResponse()

    async def ReadJobOutput(
        self, request: pb.ReadJobOutputRequest, context: object
    ) -> pb.ReadJobOutputResponse:
        data = self.memory.output[request.offset :]
        return pb.ReadJobOutputResponse(data=data, job=self.memory.jobs[request.name.id])


class OperationService(cluster_service_pb2_grpc.OperationServiceServicer):
    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def _get(self, name: pb.OwnedName) -> operation_pb2.Operation:
        found = self.memory.operations.get(name.id)
        if found is None or found.project_id != name.project_id:
            raise errors.NotFound("there is no such operation", metadata={"id": name.id})
        return found

    async def GetOperation(
        self, request: pb.GetOperationRequest, context: object
    ) -> pb.GetOperationResponse:
        return pb.GetOperationResponse(operation=self._get(request.name))

    async def ListOperations(
        self, request: pb.ListOperationsRequest, context: object
    ) -> pb.ListOperationsResponse:
        found = [
            each
            for each in reversed(self.memory.operations.values())
            if each.project_id == request.project_id
            and (not request.cluster_id or each.cluster_id == request.cluster_id)
        ]
        return pb.ListOperationsResponse(operations=found)

    async def CancelOperation(
        self, request: pb.CancelOperationRequest, context: object
    ) -> pb.CancelOperationResponse:
        operation = self._get(request.name)
        operation.cancel_requested = True
        return pb.CancelOperationResponse(operation=operation)

    async def RetryOperation(
        self, request: pb.RetryOperationRequest, context: object
    ) -> pb.RetryOperationResponse:
        failed = self._get(request.name)
        if failed.state not in (failed.STATE_FAILED, failed.STATE_CANCELLED):
            raise errors.FailedPrecondition("the operation has not ended: wait for its end")
        return pb.RetryOperationResponse(operation=self._second(failed, retry_of=failed.id))

    async def RollbackOperation(
        self, request: pb.RollbackOperationRequest, context: object
    ) -> pb.RollbackOperationResponse:
        failed = self._get(request.name)
        return pb.RollbackOperationResponse(operation=self._second(failed, rollback_of=failed.id))

    def _second(self, first: operation_pb2.Operation, **more: str) -> operation_pb2.Operation:
        second = operation_pb2.Operation()
        second.CopyFrom(first)
        second.MergeFrom(operation_pb2.Operation(id=str(uuid.uuid4()), **more))  # type: ignore[arg-type]  # fields by name
        second.state = operation_pb2.Operation.STATE_PENDING
        second.ClearField("failure")
        self.memory.operations[second.id] = second
        return second

    async def WatchJournal(
        self, request: pb.WatchJournalRequest, context: object
    ) -> AsyncIterator[pb.WatchJournalResponse]:
        if request.operation_id and request.operation_id not in self.memory.operations:
            raise errors.NotFound(
                "there is no such operation", metadata={"id": request.operation_id}
            )
        for entry in self.memory.journal[request.after_sequence :]:
            yield pb.WatchJournalResponse(entries=[entry])
