"""Choosing what a cluster's file leaves out: the newest version, an image with the plugin's tags,
the only network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2 as pb
from savanna.cluster.v1.template_pb2 import ClusterTemplate
from savanna_cli.failures import Refusal

if TYPE_CHECKING:
    from savanna.cluster.v1.cloud_pb2 import CloudCatalog
    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna.plugin.v1.plugin_service_pb2 import Plugin
    from savanna_client import Client


async def complete(client: Client, cluster: Cluster) -> list[str]:
    """Fill in what is left out and give a sentence for each choice.

    Raises ``Refusal`` when there is nothing, or too much, to choose from.
    """
    template = ClusterTemplate()
    if cluster.cluster_template_id:
        request = pb.GetClusterTemplateRequest(id=cluster.cluster_template_id)
        template = (await client.catalog.GetClusterTemplate(request)).template
    name = cluster.plugin_name or template.plugin_name
    if not name:
        raise Refusal("the file names no plugin: add 'plugin: NAME'; savanna plugin list")
    notes = []
    plugin = (await client.catalog.GetPlugin(pb.GetPluginRequest(name=name))).plugin
    if not (cluster.plugin_version or template.plugin_version) and plugin.versions:
        cluster.plugin_version = plugin.versions[0].version
        notes.append(f"version {cluster.plugin_version}, the newest of {plugin.name}")
    needs_image = not (cluster.default_image_id or template.default_image_id) and not (
        cluster.node_groups and all(each.spec.image_id for each in cluster.node_groups)
    )
    needs_network = not (cluster.neutron_management_network or template.neutron_management_network)
    if needs_image or needs_network:
        cloud = (await client.catalog.GetCloud(pb.GetCloudRequest())).cloud
        version = cluster.plugin_version or template.plugin_version
        if needs_image:
            notes.append(_choose_image(cluster, cloud, plugin, version))
        if needs_network:
            notes.append(_choose_network(cluster, cloud))
    return notes


def _choose_image(cluster: Cluster, cloud: CloudCatalog, plugin: Plugin, version: str) -> str:
    tags = next(
        (set(each.required_image_tags) for each in plugin.versions if each.version == version),
        set(),
    )
    fitting = [each for each in cloud.images if each.username and tags <= set(each.tags)]
    if not fitting:
        raise Refusal(
            f"no registered image has the tags that {plugin.name} {version} needs "
            f"({', '.join(sorted(tags))}): register one, or name another with 'image: NAME'; "
            "savanna image list"
        )
    chosen = min(fitting, key=lambda each: each.name)
    cluster.default_image_id = chosen.id
    return f"image {chosen.name}"


def _choose_network(cluster: Cluster, cloud: CloudCatalog) -> str:
    inner = [each for each in cloud.networks if not each.external]
    if len(inner) != 1:
        names = ", ".join(sorted(each.name for each in inner)) or "none"
        raise Refusal(
            f"the file names no network, and the cloud has not exactly one ({names}): "
            "add 'network: NAME'"
        )
    cluster.neutron_management_network = inner[0].id
    return f"network {inner[0].name}"
