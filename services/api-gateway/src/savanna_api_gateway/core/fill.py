"""Filling in: what is not given comes from templates, then from defaults.

Pure functions. Protobuf does not tell an empty value from one that was not given. Where it matters
(a template says 2 volumes, the request says 0), callers that know name the given fields; for
others, a field is given when it is not empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from google.protobuf.message import Message

from savanna.cluster.v1 import cluster_pb2, template_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna.common.v1.config_pb2 import Configs

M = TypeVar("M", bound=Message)

VOLUME_MOUNT_PREFIX = "/volumes/disk"

_FROM_CLUSTER_TEMPLATE = (
    "description",
    "plugin_name",
    "plugin_version",
    "default_image_id",
    "neutron_management_network",
    "anti_affinity",
    "domain_name",
    "shares",
    "use_autoconfig",
)


@dataclass(frozen=True)
class Given:
    """Names of the given fields: of the thing itself, and of each node group's spec in order."""

    fields: frozenset[str]
    groups: tuple[frozenset[str], ...] = ()


def given_in(message: Message) -> frozenset[str]:
    """Take the fields that are not empty for the given ones."""
    return frozenset(field.name for field, _ in message.ListFields())


def given_of(
    message: cluster_pb2.Cluster | template_pb2.ClusterTemplate,
) -> Given:
    """Take what is not empty for what is given, in a cluster or cluster template and its groups."""
    return Given(given_in(message), tuple(given_in(group.spec) for group in message.node_groups))


def overlaid(base: M, top: M, given: frozenset[str]) -> M:
    """Put the given fields of one message over another of the same type."""
    merged = type(base)()
    merged.CopyFrom(base)
    for name in given:
        copy_field(top, merged, name)
    return merged


def copy_field(source: Message, target: Message, name: str) -> None:
    """Copy one field, also between types that share it; an empty one empties the target's."""
    target.ClearField(name)
    for field, value in source.ListFields():
        if field.name != name:
            continue
        if isinstance(value, str | bytes | bool | int | float):
            setattr(target, name, value)
        else:
            getattr(target, name).MergeFrom(value)


def merged_configs(base: Configs, top: Configs) -> Configs:
    """Merge configurations key by key; the second wins."""
    merged = type(base)()
    merged.CopyFrom(base)
    for target, section in top.sections.items():
        into = merged.sections[target]
        for name, value in section.values.items():
            into.values[name].CopyFrom(value)
    return merged


def filled_spec(
    spec: template_pb2.NodeGroupSpec,
    given: frozenset[str],
    template: template_pb2.NodeGroupTemplate | None,
) -> template_pb2.NodeGroupSpec:
    """Fill in how nodes are made: defaults, then the template's values, then the given ones."""
    base = template_pb2.NodeGroupSpec() if template is None else template.spec
    filled = overlaid(base, spec, given)
    if template is not None and "node_configs" in given:
        filled.node_configs.CopyFrom(merged_configs(base.node_configs, spec.node_configs))
    if not filled.volume_mount_prefix:
        filled.volume_mount_prefix = VOLUME_MOUNT_PREFIX
    return filled


def filled_cluster_template(
    template: template_pb2.ClusterTemplate,
    given: Given,
    group_templates: Mapping[str, template_pb2.NodeGroupTemplate],
) -> template_pb2.ClusterTemplate:
    """Fill in the groups of a cluster template from the node group templates that they name."""
    filled = template_pb2.ClusterTemplate()
    filled.CopyFrom(template)
    for group, fields in zip(filled.node_groups, given.groups, strict=True):
        _fill_group(group, fields, group_templates)
    return filled


def filled_cluster(
    cluster: cluster_pb2.Cluster,
    given: Given,
    template: template_pb2.ClusterTemplate | None,
    group_templates: Mapping[str, template_pb2.NodeGroupTemplate],
) -> cluster_pb2.Cluster:
    """Fill in a cluster from its template; the request's groups count, else the template's."""
    filled = cluster_pb2.Cluster()
    filled.CopyFrom(cluster)
    if template is not None:
        for name in _FROM_CLUSTER_TEMPLATE:
            if name not in given.fields:
                copy_field(template, filled, name)
        filled.cluster_configs.CopyFrom(
            merged_configs(template.cluster_configs, cluster.cluster_configs)
        )
        filled.cluster_template_id = template.id
    if "node_groups" in given.fields or template is None:
        for group, fields in zip(filled.node_groups, given.groups, strict=True):
            _fill_group(group, fields, group_templates)
    else:
        filled.node_groups.extend(_cluster_groups(template.node_groups))
    return filled


def filled_groups(
    groups: Sequence[cluster_pb2.NodeGroup],
    given: Sequence[frozenset[str]],
    group_templates: Mapping[str, template_pb2.NodeGroupTemplate],
) -> list[cluster_pb2.NodeGroup]:
    """Fill in groups that are added to a cluster."""
    filled = []
    for group, fields in zip(groups, given, strict=True):
        copy = cluster_pb2.NodeGroup()
        copy.CopyFrom(group)
        _fill_group(copy, fields, group_templates)
        filled.append(copy)
    return filled


def _fill_group(
    group: cluster_pb2.NodeGroup | template_pb2.TemplateNodeGroup,
    given: frozenset[str],
    group_templates: Mapping[str, template_pb2.NodeGroupTemplate],
) -> None:
    template = group_templates.get(group.node_group_template_id)
    group.spec.CopyFrom(filled_spec(group.spec, given, template))
    if template is not None:
        group.node_group_template_id = template.id


def _cluster_groups(
    groups: Sequence[template_pb2.TemplateNodeGroup],
) -> list[cluster_pb2.NodeGroup]:
    return [
        cluster_pb2.NodeGroup(
            name=group.name,
            count=group.count,
            node_group_template_id=group.node_group_template_id,
            spec=group.spec,
        )
        for group in groups
    ]
