"""Another try, and the way back: what may be asked of operations that went wrong."""

from __future__ import annotations

import uuid

import pytest

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.operation.v1 import operation_pb2
from savanna_kit.errors import FailedPrecondition, InvalidArgument, NotFound
from tests.unit.conductor.changes import assign, end, finish
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner
from tests.unit.conductor.test_clusters import active, cancel, delete, scale
from tests.unit.conductor.test_jobs import submit, template

Cluster = cluster_pb2.Cluster
Instance = cluster_pb2.Instance
Operation = operation_pb2.Operation


async def retry(
    conductor: Conductor, operation_id: str, *, request_id: str = "", project_id: str = PROJECT
) -> Operation:
    name = pb.OwnedName(project_id=project_id, id=operation_id)
    request = pb.RetryOperationRequest(name=name, request_id=request_id)
    return (await conductor.operations.RetryOperation(request)).operation


async def roll_back(conductor: Conductor, operation_id: str, *, request_id: str = "") -> Operation:
    name = pb.OwnedName(project_id=PROJECT, id=operation_id)
    request = pb.RollbackOperationRequest(name=name, request_id=request_id)
    return (await conductor.operations.RollbackOperation(request)).operation


async def failed_launch(
    conductor: Conductor, left: Instance.State.ValueType = Instance.STATE_DELETED
) -> tuple[pb.CreateClusterResponse, Owner]:
    """Fail a launch that leaves an instance in a state."""
    created = await conductor.create()
    owner = await new_owner(conductor)
    graph = (await owner.claim()).graphs[0]
    session = await conductor.session()
    facts = cluster_pb2.Facts()
    facts.instances.add(id="i", name="c1-worker-0", node_group="worker", state=left)
    await owner.commit(
        assign(graph.tasks[0], 1, session),
        finish(graph.tasks[0], 1, session, facts),
        end(created.operation.id, Operation.STATE_FAILED),
    )
    return created, owner


async def failed_scale(conductor: Conductor, *, ready: int = 0) -> tuple[Cluster, Operation, Owner]:
    """Scale from two workers to five and fail; with so many workers ready in the end."""
    cluster, owner = await active(conductor)
    begun = (await scale(conductor, cluster.id, 5)).operation
    graph = (await owner.claim()).graphs[0]
    session = await conductor.session()
    facts = cluster_pb2.Facts(node_group_counts={"worker": 2})
    for number in range(ready):
        facts.instances.add(
            id=f"i{number}", name=f"w{number}", node_group="worker", state=Instance.STATE_READY
        )
    await owner.commit(
        assign(graph.tasks[0], 1, session),
        finish(graph.tasks[0], 1, session, facts),
        end(begun.id, Operation.STATE_FAILED),
    )
    return cluster, begun, owner


async def test_a_failed_launch_is_launched_anew(conductor: Conductor) -> None:
    created, owner = await failed_launch(conductor)
    request_id = str(uuid.uuid4())

    again = await retry(conductor, created.operation.id, request_id=request_id)

    assert (again.goal, again.retry_of) == (Operation.GOAL_LAUNCH, created.operation.id)
    cluster = await conductor.read(created.cluster.id)
    assert (cluster.state, cluster.operation_id) == (Cluster.STATE_VALIDATING, again.id)
    assert not cluster.status_description
    same = await retry(conductor, created.operation.id, request_id=request_id)
    assert same.id == again.id
    assert (await owner.claim()).graphs[0].operation.id == again.id
    await owner.commit(end(again.id, Operation.STATE_SUCCEEDED))
    assert (await conductor.read(cluster.id)).state == Cluster.STATE_ACTIVE


async def test_the_request_that_made_a_cluster_still_gives_its_first_launch(
    conductor: Conductor,
) -> None:
    request_id = str(uuid.uuid4())
    created = await conductor.create(request_id=request_id)
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_FAILED))
    await retry(conductor, created.operation.id)

    assert (await conductor.create(request_id=request_id)).operation.id == created.operation.id


async def test_a_failed_scale_asks_for_its_counts_again(conductor: Conductor) -> None:
    cluster, failed, _ = await failed_scale(conductor)
    assert (await conductor.read(cluster.id)).node_groups[0].count == 2

    again = await retry(conductor, failed.id)

    assert (again.goal, again.retry_of) == (Operation.GOAL_SCALE, failed.id)
    stored = await conductor.read(cluster.id)
    assert stored.node_groups[0].count == 5
    assert (stored.state, stored.operation_id) == (Cluster.STATE_SCALING, again.id)


async def test_a_failed_delete_is_tried_again(conductor: Conductor) -> None:
    cluster, owner = await active(conductor)
    begun = await delete(conductor, cluster.id)
    await owner.claim()
    await owner.commit(end(begun.id, Operation.STATE_FAILED))

    again = await retry(conductor, begun.id)

    assert (again.goal, again.retry_of) == (Operation.GOAL_DELETE, begun.id)
    assert (await conductor.read(cluster.id)).state == Cluster.STATE_DELETING
    await owner.claim()
    await owner.commit(end(again.id, Operation.STATE_SUCCEEDED))
    with pytest.raises(FailedPrecondition, match="is gone: create it again"):
        await retry(conductor, begun.id)


async def test_only_what_went_wrong_is_tried_again(conductor: Conductor) -> None:
    created = await conductor.create()
    with pytest.raises(FailedPrecondition, match="has not ended: wait"):
        await retry(conductor, created.operation.id)
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    with pytest.raises(FailedPrecondition, match="nothing to try again"):
        await retry(conductor, created.operation.id)
    with pytest.raises(NotFound):
        await retry(conductor, created.operation.id, project_id="p2")


async def test_a_job_is_run_again_not_retried(conductor: Conductor) -> None:
    cluster, _ = await active(conductor)
    job = await submit(conductor, cluster.id, await template(conductor))
    await cancel(conductor, job.operation.id)
    with pytest.raises(FailedPrecondition, match="run the job again"):
        await retry(conductor, job.operation.id)
    with pytest.raises(FailedPrecondition, match="cancel the job"):
        await roll_back(conductor, job.operation.id)


async def test_nothing_is_retried_while_another_change_is_under_way(conductor: Conductor) -> None:
    cluster, failed, _ = await failed_scale(conductor)
    await scale(conductor, cluster.id, 3)
    with pytest.raises(FailedPrecondition, match="another operation changes cluster 'c1'"):
        await retry(conductor, failed.id)


async def test_a_launch_that_was_tried_again_with_success_is_not_tried_once_more(
    conductor: Conductor,
) -> None:
    created, owner = await failed_launch(conductor)
    again = await retry(conductor, created.operation.id)
    await owner.claim()
    await owner.commit(end(again.id, Operation.STATE_SUCCEEDED))
    with pytest.raises(FailedPrecondition, match="is active: scale it"):
        await retry(conductor, created.operation.id)


async def test_what_becomes_of_a_failure_is_kept_with_the_operation_and_its_next_try(
    conductor: Conductor,
) -> None:
    request = pb.CreateClusterRequest(
        project_id=PROJECT,
        cluster=Cluster(name="c1", plugin_name="fake", plugin_version="0.1"),
        on_failure=operation_pb2.ON_FAILURE_KEEP,
    )
    created = await conductor.clusters.CreateCluster(request)
    assert created.operation.on_failure == operation_pb2.ON_FAILURE_KEEP
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_FAILED))
    again = await retry(conductor, created.operation.id)
    assert again.on_failure == operation_pb2.ON_FAILURE_KEEP
    await owner.claim()
    await owner.commit(end(again.id, Operation.STATE_SUCCEEDED))
    name = pb.OwnedName(project_id=PROJECT, id=created.cluster.id)
    scaled = await conductor.clusters.ScaleCluster(
        pb.ScaleClusterRequest(name=name, on_failure=operation_pb2.ON_FAILURE_CONTINUE)
    )
    assert scaled.operation.on_failure == operation_pb2.ON_FAILURE_CONTINUE


async def test_what_is_under_way_is_rolled_back_by_its_cancel(conductor: Conductor) -> None:
    created = await conductor.create()

    back = await roll_back(conductor, created.operation.id)

    assert back.id == created.operation.id
    assert back.cancel_requested


async def test_leading_back_what_is_under_way_is_done_once_also_when_it_is_asked_after_the_end(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    request_id = str(uuid.uuid4())
    await roll_back(conductor, created.operation.id, request_id=request_id)
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_CANCELLED))
    same = await roll_back(conductor, created.operation.id, request_id=request_id)
    assert same.id == created.operation.id


async def test_an_id_of_a_request_that_was_for_something_else_is_refused(
    conductor: Conductor,
) -> None:
    first, _ = await failed_launch(conductor, Instance.STATE_READY)
    second = await conductor.create("another")
    request_id = str(uuid.uuid4())
    await roll_back(conductor, first.operation.id, request_id=request_id)
    with pytest.raises(InvalidArgument, match="give each request an id of its own"):
        await roll_back(conductor, second.operation.id, request_id=request_id)


async def test_what_a_failed_launch_left_is_taken_back(conductor: Conductor) -> None:
    created, owner = await failed_launch(conductor, Instance.STATE_READY)
    request_id = str(uuid.uuid4())

    back = await roll_back(conductor, created.operation.id, request_id=request_id)

    assert (back.goal, back.rollback_of) == (Operation.GOAL_LAUNCH, created.operation.id)
    cluster = await conductor.read(created.cluster.id)
    assert (cluster.state, cluster.operation_id) == (Cluster.STATE_ERROR, back.id)
    same = await roll_back(conductor, created.operation.id, request_id=request_id)
    assert same.id == back.id
    with pytest.raises(FailedPrecondition, match="can not be cancelled"):
        await cancel(conductor, back.id)
    await owner.claim()
    await owner.commit(end(back.id, Operation.STATE_FAILED))
    once_more = await retry(conductor, back.id)
    assert once_more.rollback_of == created.operation.id


@pytest.mark.parametrize("ready", [2, 3])
async def test_new_nodes_that_a_failed_scale_kept_are_taken_back(
    conductor: Conductor, ready: int
) -> None:
    _, failed, _ = await failed_scale(conductor, ready=ready)
    if ready == 3:
        assert (await roll_back(conductor, failed.id)).rollback_of == failed.id
        return
    with pytest.raises(FailedPrecondition, match="nothing is left"):
        await roll_back(conductor, failed.id)


async def test_where_nothing_is_left_nothing_is_taken_back(conductor: Conductor) -> None:
    created, owner = await failed_launch(conductor)
    with pytest.raises(FailedPrecondition, match="nothing is left"):
        await roll_back(conductor, created.operation.id)
    again = await retry(conductor, created.operation.id)
    await owner.claim()
    await owner.commit(end(again.id, Operation.STATE_SUCCEEDED))
    with pytest.raises(FailedPrecondition, match="delete the cluster instead"):
        await roll_back(conductor, again.id)
    begun = await delete(conductor, created.cluster.id)
    with pytest.raises(FailedPrecondition, match="a delete can not be taken back"):
        await roll_back(conductor, begun.id)
