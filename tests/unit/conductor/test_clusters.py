"""Clusters: what may be asked when, and what becomes of them."""

from __future__ import annotations

import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from savanna.cluster.v1 import cluster_pb2, template_pb2
from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from tests.unit.conductor.changes import assign, end, finish
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner

Cluster = cluster_pb2.Cluster
Instance = cluster_pb2.Instance
Operation = operation_pb2.Operation


async def update(
    conductor: Conductor, cluster: Cluster, *paths: str, project_id: str = PROJECT
) -> Cluster:
    request = pb.UpdateClusterRequest(
        project_id=project_id, cluster=cluster, update_mask=FieldMask(paths=paths)
    )
    return (await conductor.clusters.UpdateCluster(request)).cluster


async def delete(conductor: Conductor, cluster_id: str, project_id: str = PROJECT) -> Operation:
    name = pb.OwnedName(project_id=project_id, id=cluster_id)
    return (await conductor.clusters.DeleteCluster(pb.DeleteClusterRequest(name=name))).operation


async def scale(
    conductor: Conductor,
    cluster_id: str,
    count: int = 5,
    *,
    group: str = "worker",
    revision: int = 0,
    request_id: str = "",
    template_id: str = "",
) -> pb.ScaleClusterResponse:
    request = pb.ScaleClusterRequest(
        name=pb.OwnedName(project_id=PROJECT, id=cluster_id),
        revision=revision,
        request_id=request_id,
    )
    request.node_groups.add(name=group, count=count, node_group_template_id=template_id)
    return await conductor.clusters.ScaleCluster(request)


async def cancel(conductor: Conductor, operation_id: str) -> Operation:
    name = pb.OwnedName(project_id=PROJECT, id=operation_id)
    request = pb.CancelOperationRequest(name=name)
    return (await conductor.operations.CancelOperation(request)).operation


async def active(conductor: Conductor) -> tuple[Cluster, Owner]:
    """Launch a cluster; gives it and the scheduler that did it."""
    created = await conductor.create()
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    return await conductor.read(created.cluster.id), owner


async def test_the_same_request_makes_one_cluster_also_when_its_launch_is_over(
    conductor: Conductor,
) -> None:
    request_id = str(uuid.uuid4())
    first = await conductor.create(request_id=request_id)
    again = await conductor.create(request_id=request_id)
    assert (again.cluster.id, again.operation.id) == (first.cluster.id, first.operation.id)
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(first.operation.id, Operation.STATE_SUCCEEDED))
    late = await conductor.create(request_id=request_id)
    assert (late.cluster.id, late.operation.id) == (first.cluster.id, first.operation.id)
    assert late.operation.state == Operation.STATE_SUCCEEDED


async def test_what_a_request_made_can_be_asked_for_and_nothing_else(
    conductor: Conductor,
) -> None:
    request = pb.CreateClusterRequest(
        project_id=PROJECT, request_id=str(uuid.uuid4()), known_only=True
    )
    with pytest.raises(NotFound, match="made nothing"):
        await conductor.clusters.CreateCluster(request)
    first = await conductor.create(request_id=request.request_id)
    assert (await conductor.clusters.CreateCluster(request)).cluster.id == first.cluster.id
    unknown = pb.CreateClusterRequest(project_id=PROJECT, known_only=True)
    with pytest.raises(NotFound, match="made nothing"):
        await conductor.clusters.CreateCluster(unknown)


async def test_a_name_that_is_taken_stores_nothing(conductor: Conductor) -> None:
    await conductor.create("c1")
    with pytest.raises(AlreadyExists, match="named 'c1' exists already"):
        await conductor.create("c1")
    answer = await conductor.operations.ListOperations(pb.ListOperationsRequest(project_id=PROJECT))
    assert len(answer.operations) == 1


async def test_only_four_fields_can_be_changed(conductor: Conductor) -> None:
    cluster = (await conductor.create()).cluster
    news = Cluster(id=cluster.id, name="renamed", description="why", plugin_name="spark")
    changed = await update(conductor, news, "name", "description")
    assert (changed.name, changed.description, changed.plugin_name) == ("renamed", "why", "fake")
    assert changed.revision == cluster.revision + 1
    with pytest.raises(InvalidArgument, match="'plugin_name' can not be changed"):
        await update(conductor, news, "plugin_name")
    await conductor.create("taken")
    news.name = "taken"
    with pytest.raises(AlreadyExists):
        await update(conductor, news, "name")


async def test_a_change_of_an_older_revision_is_refused(conductor: Conductor) -> None:
    cluster = (await conductor.create()).cluster
    await update(conductor, cluster, "description")
    with pytest.raises(Aborted, match="read it again"):
        await update(conductor, cluster, "description")


async def test_a_protected_cluster_can_only_be_released(conductor: Conductor) -> None:
    cluster = (await conductor.create()).cluster
    cluster.is_protected = True
    cluster.revision = 0
    await update(conductor, cluster, "is_protected")
    with pytest.raises(FailedPrecondition, match="is protected"):
        await update(conductor, cluster, "description")
    with pytest.raises(FailedPrecondition, match="is protected"):
        await delete(conductor, cluster.id)
    cluster.is_protected = False
    await update(conductor, cluster, "is_protected")
    await delete(conductor, cluster.id)


async def test_public_clusters_are_seen_by_others_and_changed_by_none_of_them(
    conductor: Conductor,
) -> None:
    cluster = (await conductor.create()).cluster
    name = pb.OwnedName(project_id="p2", id=cluster.id)
    asked = pb.GetClustersRequest(names=[name, pb.OwnedName(project_id=PROJECT, id="\0")])
    assert [each.id for each in (await conductor.clusters.GetClusters(asked)).clusters] == ["", ""]
    await update(conductor, Cluster(id=cluster.id, is_public=True), "is_public")
    seen = (await conductor.clusters.GetClusters(asked)).clusters[0]
    assert seen.id == cluster.id
    with pytest.raises(NotFound):
        await update(conductor, seen, "description", project_id="p2")
    with pytest.raises(NotFound):
        await delete(conductor, cluster.id, project_id="p2")


async def test_clusters_are_listed_in_pages_with_filters(conductor: Conductor) -> None:
    for number in range(3):
        await conductor.create(f"c{number}")
    request = pb.ListClustersRequest(project_id=PROJECT, page_size=2)
    first = await conductor.clusters.ListClusters(request)
    request.page_token = first.next_page_token
    second = await conductor.clusters.ListClusters(request)
    assert [each.name for each in (*first.clusters, *second.clusters)] == ["c0", "c1", "c2"]
    assert second.next_page_token == ""
    named = pb.ListClustersRequest(project_id=PROJECT, name="c1", plugin_name="fake")
    assert [each.name for each in (await conductor.clusters.ListClusters(named)).clusters] == ["c1"]


async def test_a_scale_stores_counts_and_operation_together(conductor: Conductor) -> None:
    cluster, _ = await active(conductor)
    request_id = str(uuid.uuid4())
    answer = await scale(conductor, cluster.id, 5, request_id=request_id)
    assert answer.cluster.state == Cluster.STATE_SCALING
    assert answer.cluster.node_groups[0].count == 5
    assert answer.cluster.operation_id == answer.operation.id
    wish = cluster_pb2.Wish.FromString(answer.operation.detail)
    assert dict(wish.counts_before) == {"worker": 2}
    again = await scale(conductor, cluster.id, 9, request_id=request_id)
    assert again.operation.id == answer.operation.id
    assert again.cluster.node_groups[0].count == 5


async def test_only_an_active_cluster_of_the_right_revision_is_scaled(
    conductor: Conductor,
) -> None:
    launching = (await conductor.create("c2")).cluster
    with pytest.raises(FailedPrecondition, match="is not active"):
        await scale(conductor, launching.id)
    cluster, _ = await active(conductor)
    with pytest.raises(Aborted, match="read it again"):
        await scale(conductor, cluster.id, revision=cluster.revision + 1)
    await scale(conductor, cluster.id, revision=cluster.revision)
    with pytest.raises(FailedPrecondition, match="is not active"):
        await scale(conductor, cluster.id)
    with pytest.raises(NotFound):
        await scale(conductor, str(uuid.uuid4()))


async def test_a_template_of_a_group_that_a_scale_adds_is_kept(conductor: Conductor) -> None:
    template = template_pb2.NodeGroupTemplate(name="more")
    item = await conductor.item(catalog_pb2.Item(node_group_template=template))
    template_id = item.node_group_template.id
    cluster, _ = await active(conductor)
    await scale(conductor, cluster.id, 1, group="extra", template_id=template_id)
    name = catalog_pb2.ItemName(
        project_id=PROJECT, kind=catalog_pb2.ITEM_KIND_NODE_GROUP_TEMPLATE, id=template_id
    )
    with pytest.raises(FailedPrecondition, match="used by 1 cluster"):
        await conductor.catalog.DeleteItem(catalog_pb2.DeleteItemRequest(name=name))


async def test_a_cancelled_change_is_planned_back_even_if_nobody_has_begun_it(
    conductor: Conductor,
) -> None:
    cluster, owner = await active(conductor)
    operation = (await scale(conductor, cluster.id)).operation
    cancelled = await cancel(conductor, operation.id)
    assert (cancelled.state, cancelled.cancel_requested) == (Operation.STATE_PENDING, True)
    taken = (await owner.claim()).graphs[0].operation
    assert (taken.id, taken.cancel_requested) == (operation.id, True)
    session = await conductor.session()
    answer = await conductor.operations.GetOperation(
        pb.GetOperationRequest(name=pb.OwnedName(project_id=PROJECT, id=operation.id))
    )
    plan = answer.tasks[0].task
    back = cluster_pb2.Facts(node_group_counts={"worker": 2})
    await owner.commit(assign(plan, 1, session))
    await owner.commit(finish(plan, 1, session, back), end(operation.id, Operation.STATE_CANCELLED))
    now = await conductor.read(cluster.id)
    assert (now.state, now.node_groups[0].count) == (Cluster.STATE_ACTIVE, 2)
    assert now.operation_id == ""


async def test_a_delete_goes_ahead_at_once_when_nobody_has_begun_the_launch(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    removal = await delete(conductor, created.cluster.id)
    assert removal.state == Operation.STATE_PENDING
    owner = await new_owner(conductor)
    assert [each.operation.id for each in (await owner.claim()).graphs] == [removal.id]
    launch = pb.OwnedName(project_id=PROJECT, id=created.operation.id)
    old = await conductor.operations.GetOperation(pb.GetOperationRequest(name=launch))
    assert old.operation.state == Operation.STATE_CANCELLED
    assert [each.task.state for each in old.tasks] == [operation_pb2.Task.STATE_SKIPPED]


async def test_a_cluster_that_is_being_deleted_stays_so_whatever_ends_meanwhile(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    owner = await new_owner(conductor)
    plan = (await owner.claim()).graphs[0].tasks[0]
    session = await conductor.session()
    await owner.commit(assign(plan, 1, session))
    await delete(conductor, created.cluster.id)
    last_words = cluster_pb2.Facts(final_state=Cluster.STATE_ERROR)
    await owner.commit(
        finish(plan, 1, session, last_words),
        end(created.operation.id, Operation.STATE_CANCELLED),
    )
    assert (await conductor.read(created.cluster.id)).state == Cluster.STATE_DELETING


async def test_a_delete_can_not_be_cancelled_but_tried_again_when_it_failed(
    conductor: Conductor,
) -> None:
    cluster, owner = await active(conductor)
    removal = await delete(conductor, cluster.id)
    with pytest.raises(FailedPrecondition, match="can not be cancelled"):
        await cancel(conductor, removal.id)
    await owner.claim()
    change = end(removal.id, Operation.STATE_FAILED)
    change.end_operation.failure.message = "the cloud did not remove c1-worker-0"
    await owner.commit(change)
    left = await conductor.read(cluster.id)
    assert left.state == Cluster.STATE_ERROR
    assert left.status_description.startswith("Deleting cluster failed")
    assert (await delete(conductor, cluster.id)).id != removal.id


async def test_a_removed_cluster_lets_go_of_its_templates_and_keeps_its_jobs(
    conductor: Conductor,
) -> None:
    template = job_pb2.JobTemplate(name="t", type="Shell")
    item = await conductor.item(catalog_pb2.Item(job_template=template))
    cluster, owner = await active(conductor)
    request = pb.CreateJobRequest(
        project_id=PROJECT,
        job=job_pb2.Job(cluster_id=cluster.id, job_template_id=item.job_template.id),
    )
    job = (await conductor.jobs.CreateJob(request)).job
    removal = await delete(conductor, cluster.id)
    await owner.claim()
    await owner.commit(end(removal.id, Operation.STATE_SUCCEEDED))
    assert (await conductor.read(cluster.id)).id == ""
    name = pb.OwnedName(project_id=PROJECT, id=job.id)
    kept = (await conductor.jobs.GetJobs(pb.GetJobsRequest(names=[name]))).jobs[0]
    assert (kept.cluster_id, kept.state) == ("", job_pb2.Job.STATE_KILLED)


async def test_access_gives_living_instances_and_the_key_only_when_asked(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    owner = await new_owner(conductor)
    plan = (await owner.claim()).graphs[0].tasks[0]
    session = await conductor.session()
    states = (Instance.STATE_CREATED, Instance.STATE_DELETED)
    facts = cluster_pb2.Facts(
        instances=[
            Instance(id=f"i{n}", name=f"w{n}", node_group="worker", index=n, state=state)
            for n, state in enumerate(states)
        ]
    )
    await owner.commit(assign(plan, 1, session))
    await owner.commit(finish(plan, 1, session, facts))
    request = facts_service_pb2.GetAccessRequest(cluster_id=created.cluster.id)
    answer = await conductor.facts.GetAccess(request)
    assert ([each.name for each in answer.instances], answer.private_key) == (["w0"], "")
    request.with_private_key = True
    key = (await conductor.facts.GetAccess(request)).private_key
    assert key.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
