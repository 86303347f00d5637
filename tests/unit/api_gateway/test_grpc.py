"""The public gRPC API: clusters, templates, plugins; refusals leave nothing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from savanna.cluster.v1 import cluster_pb2, template_pb2
from savanna.common.v1.config_pb2 import ConfigSection, ConfigValue
from savanna_kit import errors
from tests.unit.api_gateway.neighbours import IMAGE, NETWORK, PLAIN_IMAGE
from tests.unit.api_gateway.orders import (
    Spec,
    active,
    cat,
    clu,
    cluster,
    group_template,
    launch,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.api_gateway.conftest import Front


async def test_plugins_and_the_cloud_are_shown(front: Front) -> None:
    plugins = await front.catalog.ListPlugins(cat.ListPluginsRequest())
    assert [each.name for each in plugins.plugins] == ["fake"]
    one = await front.catalog.GetPlugin(cat.GetPluginRequest(name="fake"))
    assert one.plugin.versions[0].version == "0.1"
    cloud = (await front.catalog.GetCloud(cat.GetCloudRequest())).cloud
    assert [each.id for each in cloud.flavors] == ["1", "2"]
    with pytest.raises(errors.NotFound, match="fake"):
        await front.catalog.GetPlugin(cat.GetPluginRequest(name="nope"))


async def test_a_template_is_found_by_id_and_by_name(front: Front) -> None:
    made = await front.catalog.CreateNodeGroupTemplate(
        cat.CreateNodeGroupTemplateRequest(template=group_template())
    )
    assert made.template.spec.volume_mount_prefix == "/volumes/disk"
    for key in (made.template.id, "worker"):
        found = await front.catalog.GetNodeGroupTemplate(cat.GetNodeGroupTemplateRequest(id=key))
        assert found.template == made.template
    listed = await front.catalog.ListNodeGroupTemplates(cat.ListNodeGroupTemplatesRequest())
    assert list(listed.templates) == [made.template]
    with pytest.raises(errors.AlreadyExists) as caught:
        await front.catalog.CreateNodeGroupTemplate(
            cat.CreateNodeGroupTemplateRequest(template=group_template())
        )
    assert caught.value.reason == "NAME_ALREADY_EXISTS"


async def test_flavor_image_and_network_may_be_given_by_name(front: Front) -> None:
    wanted = cluster(default_image_id="fake-0.1", neutron_management_network="net")
    wanted.node_groups[0].spec.flavor_id = "small"
    made = await front.clusters.CreateCluster(clu.CreateClusterRequest(cluster=wanted))
    assert made.cluster.default_image_id == IMAGE
    assert made.cluster.neutron_management_network == NETWORK
    assert made.cluster.node_groups[0].spec.flavor_id == "2"


async def test_templates_are_paged(front: Front) -> None:
    for number in range(5):
        await front.catalog.CreateNodeGroupTemplate(
            cat.CreateNodeGroupTemplateRequest(template=group_template(name=f"t{number}"))
        )
    names: list[str] = []
    token = ""
    while True:
        page = await front.catalog.ListNodeGroupTemplates(
            cat.ListNodeGroupTemplatesRequest(page_size=2, page_token=token)
        )
        names.extend(each.name for each in page.templates)
        token = page.next_page_token
        if not token:
            break
    assert names == ["t0", "t1", "t2", "t3", "t4"]
    with pytest.raises(errors.InvalidArgument, match="page_size"):
        await front.catalog.ListNodeGroupTemplates(cat.ListNodeGroupTemplatesRequest(page_size=-1))


async def test_an_update_replaces_the_named_fields_alone(front: Front) -> None:
    made = await front.catalog.CreateNodeGroupTemplate(
        cat.CreateNodeGroupTemplateRequest(template=group_template())
    )
    values = template_pb2.NodeGroupTemplate(id=made.template.id, spec=Spec(flavor_id="1"))
    mask = FieldMask(paths=["spec.flavor_id"])
    answer = await front.catalog.UpdateNodeGroupTemplate(
        cat.UpdateNodeGroupTemplateRequest(template=values, update_mask=mask)
    )
    assert answer.template.spec.flavor_id == "1"
    assert list(answer.template.spec.node_processes) == ["datanode", "tasktracker"]
    values.revision = 1
    with pytest.raises(errors.Aborted):
        await front.catalog.UpdateNodeGroupTemplate(
            cat.UpdateNodeGroupTemplateRequest(template=values, update_mask=mask)
        )
    mask = FieldMask(paths=["project_id"])
    with pytest.raises(errors.InvalidArgument, match="project_id"):
        await front.catalog.UpdateNodeGroupTemplate(
            cat.UpdateNodeGroupTemplateRequest(template=values, update_mask=mask)
        )


async def test_a_cluster_is_filled_in_from_its_templates(front: Front) -> None:
    worker = group_template()
    worker.spec.volume_type = "fast"
    worker.spec.node_configs.sections["HDFS"].values["dfs.replication"].text = "2"
    await front.catalog.CreateNodeGroupTemplate(cat.CreateNodeGroupTemplateRequest(template=worker))
    general = ConfigSection(values={"Timeout for disk preparing": ConfigValue(number=10)})
    template = template_pb2.ClusterTemplate(
        name="ct",
        plugin_name="fake",
        plugin_version="0.1",
        default_image_id=IMAGE,
        neutron_management_network=NETWORK,
        node_groups=[
            template_pb2.TemplateNodeGroup(
                name="m", count=1, spec=Spec(flavor_id="2", node_processes=["namenode"])
            ),
            template_pb2.TemplateNodeGroup(
                name="w", count=3, node_group_template_id="worker", spec=Spec(flavor_id="1")
            ),
        ],
    )
    template.cluster_configs.sections["general"].CopyFrom(general)
    made = await front.catalog.CreateClusterTemplate(
        cat.CreateClusterTemplateRequest(template=template)
    )
    spec = made.template.node_groups[1].spec
    assert (spec.flavor_id, spec.volume_type) == ("1", "fast")
    answer = await front.clusters.CreateCluster(
        clu.CreateClusterRequest(cluster=cluster_pb2.Cluster(name="c1", cluster_template_id="ct"))
    )
    got = answer.cluster
    assert (got.plugin_name, got.default_image_id) == ("fake", IMAGE)
    assert got.cluster_template_id == made.template.id
    assert [(each.name, each.count) for each in got.node_groups] == [("m", 1), ("w", 3)]
    assert (
        got.node_groups[1].spec.node_configs.sections["HDFS"].values["dfs.replication"].text == "2"
    )
    assert got.cluster_configs.sections["general"] == general
    assert answer.operation.cluster_id == got.id


async def test_a_dry_run_checks_everything_and_stores_nothing(front: Front) -> None:
    request = clu.CreateClusterRequest(cluster=cluster(), validate_only=True)
    answer = await front.clusters.CreateCluster(request)
    assert answer.cluster.node_groups[0].spec.volume_mount_prefix == "/volumes/disk"
    assert not answer.HasField("operation")
    assert front.memory.clusters == {}
    await launch(front)
    with pytest.raises(errors.AlreadyExists):
        await front.clusters.CreateCluster(request)


async def test_the_same_request_id_gives_the_same_cluster(front: Front) -> None:
    request = clu.CreateClusterRequest(cluster=cluster(), request_id=str(uuid.uuid4()))
    first = await front.clusters.CreateCluster(request)
    second = await front.clusters.CreateCluster(request)
    assert first.cluster.id == second.cluster.id


def _no_master(it: cluster_pb2.Cluster) -> None:
    it.node_groups[0].count = 0


def _negative(it: cluster_pb2.Cluster) -> None:
    it.node_groups[1].count = -1


def _unknown_process(it: cluster_pb2.Cluster) -> None:
    it.node_groups[1].spec.node_processes.append("coffee")


def _unknown_config(it: cluster_pb2.Cluster) -> None:
    it.cluster_configs.sections["HDFS"].values["nope"].text = "x"


def _too_much_ready(it: cluster_pb2.Cluster) -> None:
    it.node_groups[1].spec.node_policy.min_ready = 3


def _too_many(it: cluster_pb2.Cluster) -> None:
    it.node_groups[1].count = 50


REFUSALS: dict[str, tuple[Callable[[cluster_pb2.Cluster], object], str, str]] = {
    "plugin": (lambda it: setattr(it, "plugin_name", "x"), "plugin_name", "INVALID_REFERENCE"),
    "version": (
        lambda it: setattr(it, "plugin_version", "9"),
        "plugin_version",
        "INVALID_REFERENCE",
    ),
    "process": (_unknown_process, "node_groups[1].spec.node_processes", "INVALID_REFERENCE"),
    "config": (_unknown_config, "cluster_configs.HDFS.nope", "INVALID_REFERENCE"),
    "flavor": (
        lambda it: setattr(it.node_groups[0].spec, "flavor_id", "77"),
        "node_groups[0].spec.flavor_id",
        "NOT_FOUND",
    ),
    "image": (
        lambda it: setattr(it, "default_image_id", PLAIN_IMAGE),
        "default_image_id",
        "INVALID_REFERENCE",
    ),
    "no image": (lambda it: it.ClearField("default_image_id"), "default_image_id", "NOT_FOUND"),
    "network": (
        lambda it: setattr(it, "neutron_management_network", "x"),
        "neutron_management_network",
        "NOT_FOUND",
    ),
    "no network": (
        lambda it: it.ClearField("neutron_management_network"),
        "neutron_management_network",
        "NOT_FOUND",
    ),
    "negative count": (_negative, "node_groups[1].count", "INVALID_DATA"),
    "policy": (_too_much_ready, "node_groups[1].spec.node_policy.min_ready", "INVALID_DATA"),
    "name": (lambda it: setattr(it, "name", "-bad"), "name", "INVALID_DATA"),
    "no master": (_no_master, "node_groups", "INVALID_COMPONENT_COUNT"),
    "quota": (_too_many, "node_groups", "QUOTA_ERROR"),
    "template": (
        lambda it: setattr(it, "cluster_template_id", "nope"),
        "cluster_template_id",
        "NOT_FOUND",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_a_bad_cluster_is_refused_by_field_and_leaves_no_row(front: Front, case: str) -> None:
    spoil, field, reason = REFUSALS[case]
    wanted = cluster()
    spoil(wanted)
    with pytest.raises(errors.InvalidArgument) as caught:
        await front.clusters.CreateCluster(clu.CreateClusterRequest(cluster=wanted))
    assert [(each.field, each.reason) for each in caught.value.violations] == [(field, reason)]
    assert front.memory.clusters == {}


async def test_all_problems_come_at_once(front: Front) -> None:
    wanted = cluster(neutron_management_network="x")
    wanted.node_groups[0].spec.flavor_id = "77"
    with pytest.raises(errors.InvalidArgument) as caught:
        await front.clusters.CreateCluster(clu.CreateClusterRequest(cluster=wanted))
    assert len(caught.value.violations) == 2
    assert "Known flavors: 1, 2" in caught.value.message


async def test_clusters_are_read_by_id_name_and_page(front: Front) -> None:
    made = await launch(front)
    for key in (made.id, "c1"):
        found = await front.clusters.GetCluster(clu.GetClusterRequest(id=key))
        assert found.cluster.id == made.id
    listed = await front.clusters.ListClusters(clu.ListClustersRequest())
    assert [each.id for each in listed.clusters] == [made.id]
    with pytest.raises(errors.NotFound, match="nope"):
        await front.clusters.GetCluster(clu.GetClusterRequest(id="nope"))


async def test_a_scale_resizes_groups_and_adds_new_ones(front: Front) -> None:
    made = await active(front)
    new = cluster_pb2.NodeGroup(
        name="x", count=1, spec=Spec(flavor_id="1", node_processes=["datanode"])
    )
    leaving = made.node_groups[1].instances[0]
    smaller = cluster_pb2.NodeGroup(name="w", count=1, leaving=[leaving.provider_id])
    answer = await front.clusters.ScaleCluster(
        clu.ScaleClusterRequest(id="c1", node_groups=[smaller, new])
    )
    assert answer.operation.cluster_id == made.id
    (asked,) = front.memory.scales
    assert list(asked.node_groups[0].leaving) == [leaving.name]
    assert asked.revision == 1
    validated = front.plugin.asked[-1]
    assert [each.name for each in validated.cluster.node_groups] == ["m", "w", "x"]
    assert validated.cluster.node_groups[1].count == 1
    assert validated.current.node_groups[1].count == 2


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (cluster_pb2.NodeGroup(name="nope", count=1), "INVALID_REFERENCE"),
        (cluster_pb2.NodeGroup(name="w", count=-1), "INVALID_DATA"),
        (cluster_pb2.NodeGroup(name="w", count=2, leaving=["c1-w-0"]), "INVALID_DATA"),
        (cluster_pb2.NodeGroup(name="w", count=1, leaving=["c1-m-0"]), "INVALID_DATA"),
        (cluster_pb2.NodeGroup(name="w", count=500), "QUOTA_ERROR"),
        (cluster_pb2.NodeGroup(name="m", count=2), "INVALID_COMPONENT_COUNT"),
    ],
)
async def test_a_bad_scale_changes_nothing(
    front: Front, group: cluster_pb2.NodeGroup, reason: str
) -> None:
    await active(front)
    with pytest.raises(errors.InvalidArgument) as caught:
        await front.clusters.ScaleCluster(clu.ScaleClusterRequest(id="c1", node_groups=[group]))
    assert caught.value.violations[0].reason == reason
    assert front.memory.scales == []


async def test_only_an_active_cluster_scales(front: Front) -> None:
    await launch(front)
    group = cluster_pb2.NodeGroup(name="w", count=3)
    with pytest.raises(errors.FailedPrecondition, match="Cluster status: Validating"):
        await front.clusters.ScaleCluster(clu.ScaleClusterRequest(id="c1", node_groups=[group]))


async def test_a_scale_that_is_sent_again_is_the_same_scale(front: Front) -> None:
    await active(front)
    request = clu.ScaleClusterRequest(
        id="c1",
        node_groups=[cluster_pb2.NodeGroup(name="w", count=3)],
        request_id=str(uuid.uuid4()),
    )
    first = await front.clusters.ScaleCluster(request)
    # The answer was lost, and the cluster is being scaled by now.
    again = await front.clusters.ScaleCluster(request)
    assert again.operation.id == first.operation.id
    assert len(front.memory.scales) == 1
    request.request_id = str(uuid.uuid4())
    with pytest.raises(errors.FailedPrecondition, match="Cluster cannot be scaled"):
        await front.clusters.ScaleCluster(request)
    assert len(front.memory.scales) == 1


async def test_a_protected_cluster_stays(front: Front) -> None:
    made = await launch(front)
    front.memory.clusters[made.id].is_protected = True
    with pytest.raises(errors.FailedPrecondition, match="protected"):
        await front.clusters.DeleteCluster(clu.DeleteClusterRequest(id="c1"))
    front.memory.clusters[made.id].is_protected = False
    answer = await front.clusters.DeleteCluster(clu.DeleteClusterRequest(id="c1"))
    assert answer.operation.cluster_id == made.id
