"""Jobs: from the wish to the end, and what they wrote."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_kit.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.unit.conductor.changes import assign, defer, end, finish
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner

if TYPE_CHECKING:
    from savanna.conductor.v1 import execution_service_pb2 as execution

Job = job_pb2.Job
Chunk = job_pb2.OutputChunk
Operation = operation_pb2.Operation
Task = operation_pb2.Task


async def template(conductor: Conductor, name: str = "t", **more: Any) -> str:
    item = catalog_pb2.Item(job_template=job_pb2.JobTemplate(name=name, type="Shell", **more))
    return (await conductor.item(item)).job_template.id


async def binary(conductor: Conductor, data: bytes = b"", **more: Any) -> str:
    item = catalog_pb2.Item(job_binary=job_pb2.JobBinary(name="main.sh", **more))
    binary_id = (await conductor.item(item)).job_binary.id
    if data:
        name = catalog_pb2.ItemName(project_id=PROJECT, id=binary_id)
        request = catalog_pb2.WriteJobBinaryRequest(name=name, data=data, is_last=True)
        await conductor.catalog.WriteJobBinary(iter([request]))
    return binary_id


async def submit(
    conductor: Conductor,
    cluster_id: str,
    template_id: str,
    *,
    request_id: str = "",
    project_id: str = PROJECT,
    **more: Any,
) -> pb.CreateJobResponse:
    job = Job(cluster_id=cluster_id, job_template_id=template_id, **more)
    request = pb.CreateJobRequest(project_id=project_id, job=job, request_id=request_id)
    return await conductor.jobs.CreateJob(request)


async def look(conductor: Conductor, job_id: str, project_id: str = PROJECT) -> Job:
    name = pb.OwnedName(project_id=project_id, id=job_id)
    return (await conductor.jobs.GetJobs(pb.GetJobsRequest(names=[name]))).jobs[0]


async def cancel(conductor: Conductor, job_id: str, project_id: str = PROJECT) -> Job:
    name = pb.OwnedName(project_id=project_id, id=job_id)
    return (await conductor.jobs.CancelJob(pb.CancelJobRequest(name=name))).job


async def delete(conductor: Conductor, job_id: str) -> None:
    name = pb.OwnedName(project_id=PROJECT, id=job_id)
    await conductor.jobs.DeleteJob(pb.DeleteJobRequest(name=name))


async def output(conductor: Conductor, job_id: str, **more: Any) -> bytes:
    name = pb.OwnedName(project_id=PROJECT, id=job_id)
    request = pb.ReadJobOutputRequest(name=name, **more)
    return (await conductor.jobs.ReadJobOutput(request)).data


def facts(state: Job.State.ValueType = Job.STATE_UNSPECIFIED, **more: Any) -> cluster_pb2.Facts:
    learnt = job_pb2.JobFacts(state=state, **more)
    return cluster_pb2.Facts(job=learnt.SerializeToString())


async def active(conductor: Conductor) -> tuple[str, Owner]:
    """Launch a cluster; gives its id and the scheduler that did it."""
    created = await conductor.create()
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    return created.cluster.id, owner


async def running(conductor: Conductor) -> tuple[Job, Owner, Task, str]:
    """Run a job; gives it, its scheduler, the task in an engine's hands and its session."""
    cluster_id, owner = await active(conductor)
    created = await submit(conductor, cluster_id, await template(conductor))
    task = (await owner.claim()).graphs[0].tasks[0]
    session = await conductor.session()
    await owner.commit(assign(task, 1, session))
    return created.job, owner, task, session


async def test_a_job_is_stored_with_its_operation_and_first_plan(conductor: Conductor) -> None:
    cluster_id, owner = await active(conductor)
    created = await submit(
        conductor, cluster_id, await template(conductor), state=Job.STATE_SUCCEEDED, exit_code=3
    )
    job, operation = created.job, created.operation
    assert (job.state, job.project_id, job.HasField("exit_code")) == (
        Job.STATE_PENDING,
        PROJECT,
        False,
    )
    assert (operation.goal, operation.job_id) == (Operation.GOAL_RUN_JOB, job.id)
    assert job.operation_id == operation.id
    taken = (await owner.claim()).graphs[0]
    assert (taken.operation.id, taken.tasks[0].spec.key) == (operation.id, "plan/1")


async def test_the_same_request_makes_one_job(conductor: Conductor) -> None:
    cluster_id, _ = await active(conductor)
    template_id, request_id = await template(conductor), str(uuid.uuid4())
    first = await submit(conductor, cluster_id, template_id, request_id=request_id)
    again = await submit(conductor, cluster_id, template_id, request_id=request_id)
    assert (again.job.id, again.operation.id) == (first.job.id, first.operation.id)


async def test_a_job_sent_during_a_launch_is_held_and_released_when_it_ends(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    sent = await submit(conductor, created.cluster.id, await template(conductor))
    assert sent.operation.state == Operation.STATE_HELD
    assert sent.job.status_description == "waits until the cluster is launched"
    owner = await new_owner(conductor)
    assert [each.operation.id for each in (await owner.claim()).graphs] == [created.operation.id]
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    assert (await look(conductor, sent.job.id)).status_description == ""
    assert [each.operation.id for each in (await owner.claim()).graphs] == [sent.operation.id]


async def test_held_jobs_fail_with_the_launch_that_they_waited_for(conductor: Conductor) -> None:
    created = await conductor.create()
    template_id = await template(conductor)
    sent = [(await submit(conductor, created.cluster.id, template_id)).job for _ in range(3)]
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_FAILED))
    for each in sent:
        job = await look(conductor, each.id)
        assert job.state == Job.STATE_FAILED
        assert "make another and run the job there" in job.status_description
    assert list((await owner.claim()).graphs) == []
    with pytest.raises(FailedPrecondition, match="can not run jobs any more"):
        await submit(conductor, created.cluster.id, template_id)


async def test_jobs_run_side_by_side_and_do_not_hold_up_a_scale(conductor: Conductor) -> None:
    cluster_id, owner = await active(conductor)
    template_id = await template(conductor)
    for _ in range(2):
        sent = await submit(conductor, cluster_id, template_id)
        assert sent.operation.state == Operation.STATE_PENDING
    assert len((await owner.claim()).graphs) == 2
    request = pb.ScaleClusterRequest(name=pb.OwnedName(project_id=PROJECT, id=cluster_id))
    request.node_groups.add(name="worker", count=3)
    await conductor.clusters.ScaleCluster(request)
    assert len((await owner.claim()).graphs) == 1
    late = await submit(conductor, cluster_id, template_id)
    assert late.job.status_description == "waits until the cluster is scaled"


async def test_a_job_needs_a_cluster_a_template_and_programs_with_bytes(
    conductor: Conductor,
) -> None:
    cluster_id, _ = await active(conductor)
    template_id = await template(conductor)
    with pytest.raises(NotFound, match="there is no cluster"):
        await submit(conductor, str(uuid.uuid4()), template_id)
    with pytest.raises(NotFound, match="there is no job template"):
        await submit(conductor, cluster_id, str(uuid.uuid4()))
    empty = await binary(conductor)
    with pytest.raises(FailedPrecondition, match=r"'main\.sh' has no bytes"):
        await submit(conductor, cluster_id, await template(conductor, "empty", mains=[empty]))
    removal = pb.DeleteClusterRequest(name=pb.OwnedName(project_id=PROJECT, id=cluster_id))
    await conductor.clusters.DeleteCluster(removal)
    with pytest.raises(FailedPrecondition, match="can not run jobs any more"):
        await submit(conductor, cluster_id, template_id)


async def test_a_public_cluster_runs_jobs_of_its_owner_alone(conductor: Conductor) -> None:
    cluster = cluster_pb2.Cluster(name="shown", is_public=True)
    request = pb.CreateClusterRequest(project_id="p2", cluster=cluster)
    foreign = (await conductor.clusters.CreateCluster(request)).cluster
    with pytest.raises(FailedPrecondition, match="belongs to another project"):
        await submit(conductor, foreign.id, await template(conductor))


async def test_a_plan_reads_the_job_its_template_and_its_programs(conductor: Conductor) -> None:
    cluster_id, _ = await active(conductor)
    library = await binary(conductor, b"lib")
    item = catalog_pb2.Item(job_binary=job_pb2.JobBinary(name="far", url="s3://b/far.jar"))
    main = (await conductor.item(item)).job_binary.id
    template_id = await template(conductor, mains=[main], libs=[library])
    sent = await submit(conductor, cluster_id, template_id)
    request = facts_service_pb2.GetPlanFactsRequest(operation_id=sent.operation.id)
    answer = await conductor.facts.GetPlanFacts(request)
    assert answer.job == sent.job
    assert answer.job_template.id == template_id
    assert [each.id for each in answer.job_binaries] == [main, library]
    assert answer.job_binaries[1].size == 3
    assert [each.key for each in answer.tasks] == ["plan/1"]


async def test_what_is_learnt_of_a_job_is_kept_and_its_state_never_goes_back(
    conductor: Conductor,
) -> None:
    job, owner, task, session = await running(conductor)
    started = facts(Job.STATE_RUNNING, engine_job_id="app-1")
    await owner.commit(defer(task, 1, session, facts=started))
    seen = await look(conductor, job.id)
    assert (seen.state, seen.engine_job_id) == (Job.STATE_RUNNING, "app-1")
    assert seen.HasField("start_time")
    await cancel(conductor, job.id)
    await owner.commit(assign(task, 2, session))
    await owner.commit(defer(task, 2, session, facts=facts(Job.STATE_RUNNING)))
    assert (await look(conductor, job.id)).state == Job.STATE_TO_BE_KILLED
    await owner.commit(assign(task, 3, session))
    await owner.commit(
        finish(task, 3, session, facts(Job.STATE_SUCCEEDED, exit_code=0)),
        end(job.operation_id, Operation.STATE_SUCCEEDED),
    )
    seen = await look(conductor, job.id)
    assert (seen.state, seen.exit_code) == (Job.STATE_SUCCEEDED, 0)
    assert seen.HasField("end_time")


async def test_a_job_that_nobody_has_begun_ends_at_once_when_it_is_cancelled(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    held = (await submit(conductor, created.cluster.id, await template(conductor))).job
    assert (await cancel(conductor, held.id)).state == Job.STATE_KILLED
    assert (await cancel(conductor, held.id)).state == Job.STATE_KILLED
    with pytest.raises(NotFound):
        await cancel(conductor, held.id, project_id="p2")


async def test_a_running_job_is_cancelled_by_its_scheduler(conductor: Conductor) -> None:
    job, owner, _, _ = await running(conductor)
    assert (await cancel(conductor, job.id)).state == Job.STATE_TO_BE_KILLED
    assert list((await owner.claim()).cancels) == [job.operation_id]
    await owner.commit(end(job.operation_id, Operation.STATE_CANCELLED))
    assert (await look(conductor, job.id)).state == Job.STATE_KILLED


async def test_a_job_that_runs_is_removed_when_it_has_ended(conductor: Conductor) -> None:
    job, owner, task, session = await running(conductor)
    chunk = Chunk(stream=Chunk.STREAM_STDOUT, data=b"gone soon")
    await owner.commit(defer(task, 1, session, facts=facts(chunks=[chunk])))
    await delete(conductor, job.id)
    assert (await look(conductor, job.id)).state == Job.STATE_TO_BE_KILLED
    await owner.commit(end(job.operation_id, Operation.STATE_CANCELLED))
    assert (await look(conductor, job.id)).id == ""
    with pytest.raises(NotFound):
        await output(conductor, job.id)
    # Nothing refers to the template any more.
    name = catalog_pb2.ItemName(
        project_id=PROJECT,
        kind=catalog_pb2.ITEM_KIND_JOB_TEMPLATE,
        id=job.job_template_id,
    )
    await conductor.catalog.DeleteItem(catalog_pb2.DeleteItemRequest(name=name))


async def test_a_job_whose_program_has_ended_stays_until_its_operation_has(
    conductor: Conductor,
) -> None:
    job, owner, task, session = await running(conductor)
    await owner.commit(finish(task, 1, session, facts(Job.STATE_SUCCEEDED)))
    await delete(conductor, job.id)
    request = facts_service_pb2.GetPlanFactsRequest(operation_id=job.operation_id)
    answer = await conductor.facts.GetPlanFacts(request)
    assert answer.job.state == Job.STATE_SUCCEEDED
    assert not answer.operation.cancel_requested
    await owner.commit(end(job.operation_id, Operation.STATE_SUCCEEDED))
    assert (await look(conductor, job.id)).id == ""


async def test_an_ended_job_is_removed_at_once_unless_it_is_protected(
    conductor: Conductor,
) -> None:
    cluster_id, _ = await active(conductor)
    template_id = await template(conductor)
    plain = (await submit(conductor, cluster_id, template_id)).job
    await cancel(conductor, plain.id)
    await delete(conductor, plain.id)
    assert (await look(conductor, plain.id)).id == ""
    kept = (await submit(conductor, cluster_id, template_id, is_protected=True)).job
    with pytest.raises(FailedPrecondition, match="is protected"):
        await delete(conductor, kept.id)


async def test_a_template_is_kept_as_it_is_while_a_job_was_made_from_it(
    conductor: Conductor,
) -> None:
    cluster_id, _ = await active(conductor)
    template_id = await template(conductor)
    await submit(conductor, cluster_id, template_id)
    inner = job_pb2.JobTemplate(id=template_id, type="Spark", description="new")
    request = catalog_pb2.UpdateItemRequest(
        project_id=PROJECT, item=catalog_pb2.Item(job_template=inner)
    )
    request.update_mask.paths.append("description")
    await conductor.catalog.UpdateItem(request)
    request.update_mask.paths.append("type")
    with pytest.raises(FailedPrecondition, match="used by 1 job"):
        await conductor.catalog.UpdateItem(request)


async def test_output_is_kept_once_and_read_from_any_position(conductor: Conductor) -> None:
    job, owner, task, session = await running(conductor)

    def chunk(offset: int, data: bytes) -> execution.Change:
        piece = Chunk(stream=Chunk.STREAM_STDOUT, offset=offset, data=data)
        return defer(task, epoch, session, facts=facts(chunks=[piece]))

    # The second tells the first again, the third leaves a hole: what was not kept is sent again.
    for epoch, (offset, data) in enumerate([(0, b"abc"), (0, b"abcdef"), (9, b"xyz")], start=1):
        await owner.commit(chunk(offset, data))
        await owner.commit(assign(task, epoch + 1, session))
    assert await output(conductor, job.id) == b"abcdef"
    for offset in range(8):
        expected = b"abcdef"[offset : offset + 2]
        assert await output(conductor, job.id, offset=offset, limit=2) == expected
    assert await output(conductor, job.id, stream=Chunk.STREAM_STDERR) == b""
    assert (await look(conductor, job.id)).output_size == 6
    with pytest.raises(InvalidArgument):
        await output(conductor, job.id, offset=-1)


async def test_output_beyond_the_limit_is_dropped_and_said_so(conductor: Conductor) -> None:
    job, owner, task, session = await running(conductor)
    half = 9 * 2**20
    pieces = [
        Chunk(stream=Chunk.STREAM_STDERR, offset=start, data=bytes(half)) for start in (0, half)
    ]
    await owner.commit(defer(task, 1, session, facts=facts(chunks=pieces)))
    seen = await look(conductor, job.id)
    assert (seen.error_size, seen.output_truncated) == (16 * 2**20, True)
    last = await output(
        conductor, job.id, stream=Chunk.STREAM_STDERR, offset=16 * 2**20 - 5, limit=100
    )
    assert len(last) == 5


async def test_a_transient_cluster_is_deleted_with_the_end_of_its_last_job(
    conductor: Conductor,
) -> None:
    wanted = cluster_pb2.Cluster(name="brief", is_transient=True)
    request = pb.CreateClusterRequest(project_id=PROJECT, cluster=wanted)
    created = await conductor.clusters.CreateCluster(request)
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    template_id = await template(conductor)
    sent = [await submit(conductor, created.cluster.id, template_id) for _ in range(2)]
    await owner.claim()
    await owner.commit(end(sent[0].operation.id, Operation.STATE_SUCCEEDED))
    assert (await conductor.read(created.cluster.id)).state == cluster_pb2.Cluster.STATE_ACTIVE
    await owner.commit(end(sent[1].operation.id, Operation.STATE_FAILED))
    assert (await conductor.read(created.cluster.id)).state == cluster_pb2.Cluster.STATE_DELETING
    taken = (await owner.claim()).graphs[0].operation
    assert taken.goal == Operation.GOAL_DELETE


async def test_jobs_are_listed_in_pages_by_cluster(conductor: Conductor) -> None:
    cluster_id, _ = await active(conductor)
    template_id = await template(conductor)
    sent = [(await submit(conductor, cluster_id, template_id)).job.id for _ in range(3)]
    request = pb.ListJobsRequest(project_id=PROJECT, page_size=2, cluster_id=cluster_id)
    first = await conductor.jobs.ListJobs(request)
    request.page_token = first.next_page_token
    second = await conductor.jobs.ListJobs(request)
    assert [each.id for each in (*first.jobs, *second.jobs)] == sent
    elsewhere = pb.ListJobsRequest(project_id=PROJECT, cluster_id="none")
    assert list((await conductor.jobs.ListJobs(elsewhere)).jobs) == []


async def test_public_jobs_are_seen_by_other_projects(conductor: Conductor) -> None:
    cluster_id, _ = await active(conductor)
    template_id = await template(conductor)
    hidden = (await submit(conductor, cluster_id, template_id)).job
    shown = (await submit(conductor, cluster_id, template_id, is_public=True)).job
    assert (await look(conductor, hidden.id, "p2")).id == ""
    assert (await look(conductor, shown.id, "p2")).id == shown.id
    listed = await conductor.jobs.ListJobs(pb.ListJobsRequest(project_id="p2"))
    assert [each.id for each in listed.jobs] == [shown.id]
