"""Operations and jobs over gRPC, whose they are, and what is missing while a plugin is gone."""

from __future__ import annotations

import asyncio
from asyncio import timeout
from typing import TYPE_CHECKING

import grpc
import pytest

from savanna.job.v1 import job_pb2
from savanna_kit import errors, serving
from tests.unit.api_gateway import neighbours
from tests.unit.api_gateway.conftest import opened
from tests.unit.api_gateway.orders import (
    active,
    cat,
    clu,
    cluster,
    jobs,
    launch,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from savanna.api.v1 import job_service_pb2
    from tests.unit.api_gateway.conftest import Front


async def test_operations_are_listed_read_cancelled_and_watched(front: Front) -> None:
    made = await launch(front)
    listed = await front.operations.ListOperations(clu.ListOperationsRequest(cluster_id=made.id))
    (operation,) = listed.operations
    got = await front.operations.GetOperation(clu.GetOperationRequest(id=operation.id))
    assert got.operation == operation
    cancelled = await front.operations.CancelOperation(clu.CancelOperationRequest(id=operation.id))
    assert cancelled.operation.cancel_requested
    watch = front.operations.WatchOperations(clu.WatchOperationsRequest())
    entries = [entry async for answer in watch for entry in answer.entries]
    assert [each.operation_id for each in entries] == [operation.id]
    with pytest.raises(errors.NotFound):
        await front.operations.GetOperation(clu.GetOperationRequest(id="nope"))


async def test_operations_are_tried_again_and_rolled_back(front: Front) -> None:
    await launch(front)
    (operation,) = front.memory.operations.values()
    request = clu.RetryOperationRequest(id=operation.id)
    with pytest.raises(errors.FailedPrecondition, match="has not ended"):
        await front.operations.RetryOperation(request)
    operation.state = operation.STATE_FAILED
    again = (await front.operations.RetryOperation(request)).operation
    assert (again.goal, again.retry_of) == (operation.goal, operation.id)
    back = await front.operations.RollbackOperation(clu.RollbackOperationRequest(id=operation.id))
    assert back.operation.rollback_of == operation.id


async def _pieces(
    *messages: job_service_pb2.UploadJobBinaryRequest,
) -> AsyncIterator[job_service_pb2.UploadJobBinaryRequest]:
    for each in messages:
        yield each


async def test_a_job_runs_from_upload_to_output(front: Front) -> None:
    await active(front)
    made = await front.jobs.CreateJobBinary(
        jobs.CreateJobBinaryRequest(job_binary=job_pb2.JobBinary(name="wc.sh"))
    )
    assert made.job_binary.url == f"internal-db://{made.job_binary.id}"
    template = job_pb2.JobTemplate(name="wc", type="Shell", mains=["wc.sh"])
    stored = await front.jobs.CreateJobTemplate(jobs.CreateJobTemplateRequest(template=template))
    assert list(stored.template.mains) == [made.job_binary.id]
    run = jobs.RunJobRequest(job=job_pb2.Job(job_template_id="wc", cluster_id="c1"))
    with pytest.raises(errors.InvalidArgument, match="no bytes yet"):
        await front.jobs.RunJob(run)
    assert front.memory.jobs == {}
    with pytest.raises(grpc.aio.AioRpcError, match="cut off"):
        await front.jobs.UploadJobBinary(
            _pieces(jobs.UploadJobBinaryRequest(id="wc.sh", data=b"e"))
        )
    uploaded = await front.jobs.UploadJobBinary(
        _pieces(
            jobs.UploadJobBinaryRequest(id="wc.sh", data=b"echo "),
            jobs.UploadJobBinaryRequest(data=b"hi", is_last=True),
        )
    )
    assert uploaded.job_binary.size == 7
    answer = await front.jobs.RunJob(run)
    assert answer.job.state == job_pb2.Job.STATE_PENDING
    assert front.plugin.asked[-1].job_template.name == "wc"
    front.memory.output = b"hi\n"
    output = await front.jobs.ReadJobOutput(jobs.ReadJobOutputRequest(id=answer.job.id, offset=1))
    assert output.data == b"i\n"
    cancelled = await front.jobs.CancelJob(jobs.CancelJobRequest(id=answer.job.id))
    assert cancelled.job.state == job_pb2.Job.STATE_TO_BE_KILLED
    with pytest.raises(errors.FailedPrecondition, match="referenced"):
        await front.jobs.DeleteJobBinary(jobs.DeleteJobBinaryRequest(id="wc.sh"))
    listed = await front.jobs.ListJobs(jobs.ListJobsRequest())
    assert [each.id for each in listed.jobs] == [answer.job.id]
    await front.jobs.DeleteJob(jobs.DeleteJobRequest(id=answer.job.id))
    with pytest.raises(errors.NotFound):
        await front.jobs.GetJob(jobs.GetJobRequest(id=answer.job.id))


async def test_a_job_of_a_type_that_the_cluster_does_not_run_is_refused(front: Front) -> None:
    await active(front)
    await front.jobs.CreateJobBinary(
        jobs.CreateJobBinaryRequest(job_binary=job_pb2.JobBinary(name="a.pig"))
    )
    template = job_pb2.JobTemplate(name="p", type="Pig", mains=["a.pig"])
    await front.jobs.CreateJobTemplate(jobs.CreateJobTemplateRequest(template=template))
    run = jobs.RunJobRequest(job=job_pb2.Job(job_template_id="p", cluster_id="c1"))
    with pytest.raises(errors.InvalidArgument, match="doesn't support job type 'Pig'"):
        await front.jobs.RunJob(run)


TOKENS = """
- {token: t1, user_id: u1, user_name: ann, project_id: p1, project_name: one, roles: [member]}
- {token: t2, user_id: u2, user_name: bob, project_id: p2, project_name: two, roles: [member]}
- {token: t3, user_id: u3, user_name: eve, project_id: p1, project_name: one, roles: [reader]}
"""


async def test_tokens_tell_projects_apart(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:

        def token(name: str) -> list[tuple[str, str]]:
            return [("authorization", f"Bearer {name}")]

        request = clu.CreateClusterRequest(cluster=cluster())
        for wrong in ([], token("nope")):
            with pytest.raises(errors.Unauthenticated, match="token"):
                await front.clusters.CreateCluster(request, metadata=wrong)
        made = await front.clusters.CreateCluster(request, metadata=token("t1"))
        assert made.cluster.project_id == "p1"
        get = clu.GetClusterRequest(id=made.cluster.id)
        with pytest.raises(errors.NotFound):
            await front.clusters.GetCluster(get, metadata=token("t2"))
        access = clu.GetClusterAccessRequest(id="c1")
        answer = await front.clusters.GetClusterAccess(access, metadata=token("t1"))
        assert answer.private_key == "PRIVATE"
        for other in ("t2", "t3"):
            front.memory.clusters[made.cluster.id].is_public = True
            with pytest.raises(errors.PermissionDenied):
                await front.clusters.GetClusterAccess(access, metadata=token(other))


async def test_nobody_can_claim_a_project_by_metadata(tmp_path: Path) -> None:
    (tmp_path / "tokens.yaml").write_text(TOKENS)
    async with opened(tmp_path, auth=f"tokens={tmp_path}/tokens.yaml") as front:
        request = clu.CreateClusterRequest(cluster=cluster())
        claims = [("authorization", "Bearer t1"), ("x-savanna-roles", "admin")]
        with pytest.raises(errors.PermissionDenied, match="not of project 'p2'"):
            await front.clusters.CreateCluster(
                request, metadata=[*claims, ("x-savanna-project", "p2")]
            )
        assert front.memory.clusters == {}
        made = await front.clusters.CreateCluster(
            request, metadata=[*claims, ("x-savanna-project", "p1")]
        )
        assert made.cluster.project_id == "p1"


async def test_a_plugin_that_does_not_answer_is_missing_and_found_again(tmp_path: Path) -> None:
    request = cat.ListPluginsRequest()
    async with opened(tmp_path, with_plugin=False) as front:
        assert not (await front.catalog.ListPlugins(request)).plugins
        with pytest.raises(errors.Unavailable, match="'fake' does not answer"):
            await launch(front)
        async with serving.running([neighbours.plugin(tmp_path, front.plugin)]), timeout(10):
            while True:
                if (await front.catalog.ListPlugins(request)).plugins:
                    break
                await asyncio.sleep(0.05)
            await launch(front)


async def test_only_a_plugin_that_could_be_there_is_worth_waiting_for(tmp_path: Path) -> None:
    async with opened(tmp_path, with_plugin=False, plugin_cache_seconds=0.0) as front:
        async with serving.running([neighbours.plugin(tmp_path, front.plugin)]), timeout(10):
            while not (await front.catalog.ListPlugins(cat.ListPluginsRequest())).plugins:
                await asyncio.sleep(0.05)
        with pytest.raises(errors.Unavailable, match="'fake' does not answer"):
            await front.catalog.GetPlugin(cat.GetPluginRequest(name="fake"))
        with pytest.raises(errors.NotFound, match="no plugin 'nope'"):
            await front.catalog.GetPlugin(cat.GetPluginRequest(name="nope"))
