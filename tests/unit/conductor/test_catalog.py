"""The catalog: one set of rules for all kinds of items."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from savanna.cluster.v1 import cluster_pb2, template_pb2
from savanna.conductor.v1 import catalog_service_pb2 as pb
from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
from savanna.job.v1 import job_pb2
from savanna_kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)
from tests.unit.conductor.conftest import PROJECT, Conductor

Item = pb.Item
OTHER = "p2"


def group_template(name: str = "worker", **more: Any) -> Item:
    inner = template_pb2.NodeGroupTemplate(
        name=name, plugin_name="fake", plugin_version="0.1", **more
    )
    inner.spec.flavor_id = "small"
    return Item(node_group_template=inner)


def cluster_template(group_id: str, name: str = "ct") -> Item:
    inner = template_pb2.ClusterTemplate(name=name, plugin_name="fake", plugin_version="0.1")
    inner.node_groups.add(name="worker", count=1, node_group_template_id=group_id)
    return Item(cluster_template=inner)


def binary(name: str = "main.py", **more: Any) -> Item:
    return Item(job_binary=job_pb2.JobBinary(name=name, **more))


async def look(
    conductor: Conductor,
    item_id: str,
    *,
    project_id: str = PROJECT,
    kind: pb.ItemKind.ValueType = pb.ITEM_KIND_NODE_GROUP_TEMPLATE,
) -> Item:
    name = pb.ItemName(project_id=project_id, kind=kind, id=item_id)
    return (await conductor.catalog.GetItems(pb.GetItemsRequest(names=[name]))).items[0]


async def update(conductor: Conductor, item: Item, *paths: str, project_id: str = PROJECT) -> Item:
    request = pb.UpdateItemRequest(
        project_id=project_id, item=item, update_mask=FieldMask(paths=paths)
    )
    return (await conductor.catalog.UpdateItem(request)).item


async def delete(
    conductor: Conductor,
    item_id: str,
    *,
    project_id: str = PROJECT,
    kind: pb.ItemKind.ValueType = pb.ITEM_KIND_NODE_GROUP_TEMPLATE,
) -> None:
    name = pb.ItemName(project_id=project_id, kind=kind, id=item_id)
    await conductor.catalog.DeleteItem(pb.DeleteItemRequest(name=name))


async def names(conductor: Conductor, project_id: str = PROJECT, **more: Any) -> list[str]:
    request = pb.ListItemsRequest(
        project_id=project_id, kind=pb.ITEM_KIND_NODE_GROUP_TEMPLATE, **more
    )
    answer = await conductor.catalog.ListItems(request)
    return [each.node_group_template.name for each in answer.items]


async def launched(conductor: Conductor, **templates: str) -> str:
    """Store a cluster made from templates; gives its id."""
    cluster = cluster_pb2.Cluster(
        name="c1", cluster_template_id=templates.get("cluster_template_id", "")
    )
    cluster.node_groups.add(
        name="worker", count=1, node_group_template_id=templates.get("node_group_template_id", "")
    )
    request = clusters_pb2.CreateClusterRequest(project_id=PROJECT, cluster=cluster)
    return (await conductor.clusters.CreateCluster(request)).cluster.id


async def test_an_item_is_stored_with_what_only_the_conductor_says(conductor: Conductor) -> None:
    wanted = group_template()
    wanted.node_group_template.is_default = True
    wanted.node_group_template.project_id = "someone"
    stored = (await conductor.item(wanted)).node_group_template
    assert uuid.UUID(stored.id)
    assert (stored.project_id, stored.revision, stored.is_default) == (PROJECT, 1, False)
    assert stored.HasField("create_time")
    assert not stored.HasField("update_time")
    assert (await look(conductor, stored.id)).node_group_template == stored


async def test_the_same_request_makes_one_item(conductor: Conductor) -> None:
    request_id = str(uuid.uuid4())
    first = await conductor.item(group_template(), request_id=request_id)
    assert await conductor.item(group_template(), request_id=request_id) == first
    assert await names(conductor) == ["worker"]


async def test_a_name_is_unique_in_its_project_and_kind_alone(conductor: Conductor) -> None:
    await conductor.item(group_template("same"))
    await conductor.item(binary("same"))
    await conductor.item(group_template("same"), project_id=OTHER)
    with pytest.raises(AlreadyExists, match="named 'same' exists already") as caught:
        await conductor.item(group_template("same"))
    assert caught.value.reason == "NAME_ALREADY_EXISTS"


async def test_an_id_that_is_given_is_kept_and_unique_over_all_projects(
    conductor: Conductor,
) -> None:
    given = str(uuid.uuid4())
    stored = (await conductor.item(binary(id=given))).job_binary
    assert (stored.id, stored.url) == (given, f"internal-db://{given}")
    with pytest.raises(AlreadyExists, match="leave the id empty"):
        await conductor.item(binary("other.py", id=given), project_id=OTHER)
    with pytest.raises(InvalidArgument, match="must be internal-db"):
        await conductor.item(binary("b.py", url=f"internal-db://{uuid.uuid4()}"))


async def test_reading_gives_each_name_its_own_outcome(conductor: Conductor) -> None:
    mine = await conductor.item(group_template())
    foreign = await conductor.item(group_template(), project_id=OTHER)
    public = await conductor.item(group_template("shown", is_public=True), project_id=OTHER)
    kind = pb.ITEM_KIND_NODE_GROUP_TEMPLATE
    ids = [mine.node_group_template.id, foreign.node_group_template.id, "\0"]
    asked = [pb.ItemName(project_id=PROJECT, kind=kind, id=each) for each in ids]
    asked.append(pb.ItemName(project_id=PROJECT, id=ids[0]))
    asked.append(pb.ItemName(project_id=PROJECT, kind=pb.ITEM_KIND_CLUSTER_TEMPLATE, id=ids[0]))
    asked.append(pb.ItemName(project_id=PROJECT, kind=kind, id=public.node_group_template.id))
    answer = await conductor.catalog.GetItems(pb.GetItemsRequest(names=asked))
    assert list(answer.items) == [mine, Item(), Item(), Item(), Item(), public]


async def test_lists_show_own_and_public_items_oldest_first_with_filters(
    conductor: Conductor,
) -> None:
    for name in ("a", "b"):
        await conductor.item(group_template(name))
    await conductor.item(group_template("hidden"), project_id=OTHER)
    await conductor.item(group_template("shown", is_public=True), project_id=OTHER)
    assert await names(conductor) == ["a", "b", "shown"]
    assert await names(conductor, name="b") == ["b"]
    assert await names(conductor, plugin_name="spark") == []
    assert await names(conductor, plugin_name="fake", plugin_version="0.1", name="a") == ["a"]
    assert await names(conductor, name="\0") == []


async def test_pages_follow_each_other_without_holes_while_items_come_and_go(
    conductor: Conductor,
) -> None:
    stored = [
        (await conductor.item(group_template(f"n{number}"))).node_group_template
        for number in range(5)
    ]
    request = pb.ListItemsRequest(
        project_id=PROJECT, kind=pb.ITEM_KIND_NODE_GROUP_TEMPLATE, page_size=2
    )
    first = await conductor.catalog.ListItems(request)
    await delete(conductor, stored[1].id)
    await conductor.item(group_template("n5"))
    found = list(first.items)
    request.page_token = first.next_page_token
    while request.page_token:
        answer = await conductor.catalog.ListItems(request)
        found.extend(answer.items)
        request.page_token = answer.next_page_token
    assert [each.node_group_template.name for each in found] == [f"n{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("size", "token"), [(-1, ""), (1, "never given"), (1, "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTkvYQ==")]
)
async def test_a_page_that_can_not_be_is_refused(
    conductor: Conductor, size: int, token: str
) -> None:
    request = pb.ListItemsRequest(
        project_id=PROJECT,
        kind=pb.ITEM_KIND_NODE_GROUP_TEMPLATE,
        page_size=size,
        page_token=token,
    )
    with pytest.raises(InvalidArgument):
        await conductor.catalog.ListItems(request)


async def test_only_named_fields_are_replaced(conductor: Conductor) -> None:
    stored = await conductor.item(group_template())
    news = group_template("renamed")
    news.node_group_template.id = stored.node_group_template.id
    news.node_group_template.description = "not named, not changed"
    news.node_group_template.spec.flavor_id = "large"
    changed = (await update(conductor, news, "name", "spec.flavor_id")).node_group_template
    assert (changed.name, changed.spec.flavor_id, changed.description) == ("renamed", "large", "")
    assert changed.revision == 2
    assert changed.HasField("update_time")
    assert await names(conductor, name="renamed") == ["renamed"]
    for path in ("id", "revision", "project_id", "nothing"):
        with pytest.raises(InvalidArgument, match="can not be changed"):
            await update(conductor, news, path)


async def test_a_change_of_an_older_revision_is_refused(conductor: Conductor) -> None:
    item = await conductor.item(group_template())
    await update(conductor, item, "description")
    with pytest.raises(Aborted, match="read it again"):
        await update(conductor, item, "description")
    item.node_group_template.revision = 0
    assert (await update(conductor, item, "description")).node_group_template.revision == 3


async def test_a_name_can_not_be_changed_to_one_that_is_taken(conductor: Conductor) -> None:
    await conductor.item(group_template("taken"))
    item = await conductor.item(group_template("mine"))
    item.node_group_template.name = "taken"
    with pytest.raises(AlreadyExists):
        await update(conductor, item, "name")


async def test_what_is_protected_can_only_be_released(conductor: Conductor) -> None:
    item = await conductor.item(group_template(is_protected=True))
    item_id = item.node_group_template.id
    with pytest.raises(FailedPrecondition, match="is protected"):
        await update(conductor, item, "description")
    with pytest.raises(FailedPrecondition, match="is protected"):
        await delete(conductor, item_id)
    item.node_group_template.is_protected = False
    with pytest.raises(FailedPrecondition, match="is protected"):
        await update(conductor, item, "description", "is_protected")
    await update(conductor, item, "is_protected")
    await delete(conductor, item_id)
    assert await look(conductor, item_id) == Item()


async def test_public_items_of_other_projects_are_seen_and_never_changed(
    conductor: Conductor,
) -> None:
    item = await conductor.item(group_template(is_public=True), project_id=OTHER)
    item_id = item.node_group_template.id
    assert await look(conductor, item_id) == item
    with pytest.raises(NotFound):
        await update(conductor, item, "description")
    with pytest.raises(NotFound):
        await delete(conductor, item_id)
    # They can be used, and are then kept as any other.
    await conductor.item(cluster_template(item_id))
    with pytest.raises(FailedPrecondition, match="used by 1 cluster template"):
        await delete(conductor, item_id, project_id=OTHER)


async def test_what_an_item_refers_to_must_exist(conductor: Conductor) -> None:
    foreign = await conductor.item(group_template(), project_id=OTHER)
    for missing in (str(uuid.uuid4()), foreign.node_group_template.id):
        with pytest.raises(NotFound, match="there is no node group template"):
            await conductor.item(cluster_template(missing))
    with pytest.raises(NotFound, match="there is no job binary"):
        await conductor.item(Item(job_template=job_pb2.JobTemplate(name="t", mains=["none"])))
    with pytest.raises(NotFound, match="there is no cluster template"):
        await launched(conductor, cluster_template_id="none")


async def test_a_template_of_a_template_can_be_changed_but_not_removed(
    conductor: Conductor,
) -> None:
    group = await conductor.item(group_template())
    group_id = group.node_group_template.id
    template = await conductor.item(cluster_template(group_id))
    await update(conductor, group, "description")
    with pytest.raises(FailedPrecondition, match="used by 1 cluster template"):
        await delete(conductor, group_id)
    # It no longer refers to it: nothing keeps it.
    template.cluster_template.ClearField("node_groups")
    await update(conductor, template, "node_groups")
    await delete(conductor, group_id)


async def test_templates_of_a_living_cluster_are_neither_changed_nor_removed(
    conductor: Conductor,
) -> None:
    group = await conductor.item(group_template())
    template = await conductor.item(cluster_template(group.node_group_template.id))
    template_id = template.cluster_template.id
    await launched(conductor, cluster_template_id=template_id)
    for item in (group, template):
        with pytest.raises(FailedPrecondition, match="is used by 1 cluster"):
            await update(conductor, item, "description")
    with pytest.raises(FailedPrecondition, match="is used by 1 cluster"):
        await delete(conductor, template_id, kind=pb.ITEM_KIND_CLUSTER_TEMPLATE)


async def test_a_job_binary_is_kept_while_a_job_template_names_it(conductor: Conductor) -> None:
    stored = (await conductor.item(binary())).job_binary
    template = job_pb2.JobTemplate(name="t", type="Spark", mains=[stored.id])
    made = (await conductor.item(Item(job_template=template))).job_template
    with pytest.raises(FailedPrecondition, match="used by 1 job template"):
        await delete(conductor, stored.id, kind=pb.ITEM_KIND_JOB_BINARY)
    await delete(conductor, made.id, kind=pb.ITEM_KIND_JOB_TEMPLATE)
    await delete(conductor, stored.id, kind=pb.ITEM_KIND_JOB_BINARY)


async def test_registering_an_image_again_replaces_it_in_its_project_alone(
    conductor: Conductor,
) -> None:
    def image(user: str) -> Item:
        return Item(image=template_pb2.ImageRegistration(id="i1", username=user))

    for user in ("ubuntu", "debian"):
        await conductor.item(image(user))
    await conductor.item(image("root"), project_id=OTHER)
    mine = (await look(conductor, "i1", kind=pb.ITEM_KIND_IMAGE)).image
    assert (mine.username, mine.revision) == ("debian", 2)
    other = await look(conductor, "i1", kind=pb.ITEM_KIND_IMAGE, project_id=OTHER)
    assert other.image.username == "root"
    request = pb.ListItemsRequest(project_id=PROJECT, kind=pb.ITEM_KIND_IMAGE)
    assert len((await conductor.catalog.ListItems(request)).items) == 1


async def test_texts_that_can_not_be_stored_are_refused(conductor: Conductor) -> None:
    for name in ("zero\0", "x" * 256):
        with pytest.raises(InvalidArgument, match="name must have at most"):
            await conductor.item(group_template(name))
    with pytest.raises(InvalidArgument, match="the item is empty"):
        await conductor.item(Item())
