"""Clusters that are of use while an operation completes them."""

from __future__ import annotations

import pytest

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.conductor.v1 import facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_kit.errors import FailedPrecondition
from tests.unit.conductor.changes import assign, end, finish
from tests.unit.conductor.conftest import Conductor, Owner, new_owner
from tests.unit.conductor.test_clusters import cancel, scale
from tests.unit.conductor.test_jobs import look, submit, template

Cluster = cluster_pb2.Cluster
Instance = cluster_pb2.Instance
Job = job_pb2.Job
Operation = operation_pb2.Operation

TOLD = "Active with 1 of 2 nodes; 1 is being made"


async def completing(conductor: Conductor) -> tuple[Cluster, Operation, Owner, Job]:
    """Launch a cluster so far that it serves; a job was held meanwhile."""
    created = await conductor.create()
    job = await submit(conductor, created.cluster.id, await template(conductor))
    assert job.operation.state == Operation.STATE_HELD
    owner = await new_owner(conductor)
    graph = (await owner.claim()).graphs[0]
    session = await conductor.session()
    facts = cluster_pb2.Facts(serves=True, status_description=TOLD)
    facts.instances.add(
        id="i0", name="c1-worker-0", node_group="worker", state=Instance.STATE_READY
    )
    facts.instances.add(
        id="i1", name="c1-worker-1", node_group="worker", state=Instance.STATE_PLANNED
    )
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session), finish(task, 1, session, facts))
    cluster = await conductor.read(created.cluster.id)
    return cluster, created.operation, owner, job.job


async def test_a_cluster_that_serves_is_active_and_says_what_is_missing(
    conductor: Conductor,
) -> None:
    cluster, launch, _, _ = await completing(conductor)
    assert (cluster.state, cluster.status_description) == (Cluster.STATE_ACTIVE, TOLD)
    assert cluster.operation_id == launch.id
    request = facts_service_pb2.GetPlanFactsRequest(operation_id=launch.id)
    facts = await conductor.facts.GetPlanFacts(request)
    assert facts.operation.is_completing
    assert facts.now_time.ToMicroseconds() >= facts.tasks[0].end_time.ToMicroseconds() > 0


async def test_what_waited_for_it_goes_on_and_what_comes_need_not_wait(
    conductor: Conductor,
) -> None:
    cluster, _, owner, held = await completing(conductor)
    assert [each.operation.job_id for each in (await owner.claim()).graphs] == [held.id]
    assert (await look(conductor, held.id)).status_description == ""
    another = await submit(conductor, cluster.id, await template(conductor, "u"))
    assert another.operation.state == Operation.STATE_PENDING


async def test_another_change_waits_for_its_end(conductor: Conductor) -> None:
    cluster, launch, owner, _ = await completing(conductor)
    with pytest.raises(FailedPrecondition, match="is being changed: wait"):
        await scale(conductor, cluster.id, 3)
    await owner.commit(end(launch.id, Operation.STATE_SUCCEEDED))
    await scale(conductor, cluster.id, 3)


async def test_its_state_does_not_go_back(conductor: Conductor) -> None:
    cluster, launch, owner, _ = await completing(conductor)
    task = operation_pb2.TaskSpec(key="create/c1-worker-1")
    spawn = execution.Spawn(operation_id=launch.id, tasks=[task])
    verdicts = await owner.commit(execution.Change(spawn=spawn))
    session = await conductor.session()
    facts = cluster_pb2.Facts()
    facts.instances.add(name="c1-worker-1", state=Instance.STATE_CREATED)
    made = verdicts[0].spawned[0]
    await owner.commit(assign(made, 1, session), finish(made, 1, session, facts))
    assert (await conductor.read(cluster.id)).state == Cluster.STATE_ACTIVE


async def test_completing_that_fails_is_told_and_costs_nothing(conductor: Conductor) -> None:
    cluster, launch, owner, _ = await completing(conductor)
    task = operation_pb2.TaskSpec(key="plan/2", is_plan=True)
    spawn = execution.Spawn(operation_id=launch.id, tasks=[task])
    plan = (await owner.commit(execution.Change(spawn=spawn)))[0].spawned[0]
    session = await conductor.session()
    facts = cluster_pb2.Facts(final_state=Cluster.STATE_ACTIVE, node_group_counts={"worker": 1})
    ending = end(launch.id, Operation.STATE_FAILED)
    ending.end_operation.failure.message = "no more room"
    await owner.commit(assign(plan, 1, session), finish(plan, 1, session, facts), ending)
    left = await conductor.read(cluster.id)
    assert (left.state, left.node_groups[0].count) == (Cluster.STATE_ACTIVE, 1)
    assert left.status_description.startswith("Completing cluster failed")
    assert left.status_description.endswith("no more room")


async def test_a_job_on_it_can_be_cancelled_like_any(conductor: Conductor) -> None:
    _, _, _, held = await completing(conductor)
    operation = await cancel(conductor, held.operation_id)
    assert operation.state == Operation.STATE_CANCELLED
