"""Node groups: their templates, and the groups inside cluster templates and clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savanna.cluster.v1 import cluster_pb2, template_pb2
from savanna_api_gateway.rest import codecs, schemas
from savanna_api_gateway.rest.fields import Field, Resource, Shown
from savanna_api_gateway.rest.resources.basics import (
    CREATED,
    ID,
    PLUGIN,
    PROJECT,
    PROTECTED,
    PUBLIC,
    UPDATED,
    VERSION,
    description,
)

if TYPE_CHECKING:
    from savanna_api_gateway.rest.schemas import Json, Schema

# How the nodes of a group are made: the same fields in three resources, all kept in ``spec``.
_FLAVOR = Field("flavor_id", codecs.flavor("spec.flavor_id"), schemas.FLAVOR)
_SPEC_1 = (
    Field("node_processes", codecs.texts("spec.node_processes"), schemas.PROCESSES),
    Field("node_configs", codecs.configs("spec.node_configs"), schemas.CONFIGS),
    Field(
        "volumes_per_node",
        codecs.number("spec.volumes_per_node"),
        schemas.size(0),
    ),
    Field(
        "volumes_size",
        codecs.number("spec.volumes_size"),
        schemas.size(1, nullable=True),
    ),
    Field(
        "volumes_availability_zone",
        codecs.text("spec.volumes_availability_zone"),
        schemas.TEXT_OR_NULL,
    ),
    Field("volume_mount_prefix", codecs.text("spec.volume_mount_prefix"), schemas.POSIX_PATH),
    Field("volume_type", codecs.text("spec.volume_type"), schemas.TEXT_OR_NULL),
)
_BOOT = (
    Field("boot_from_volume", codecs.flag("spec.boot_from_volume"), schemas.FLAG),
    Field("boot_volume_type", codecs.text("spec.boot_volume_type"), schemas.TEXT),
    Field(
        "boot_volume_availability_zone",
        codecs.text("spec.boot_volume_availability_zone"),
        schemas.TEXT,
    ),
    Field(
        "boot_volume_local_to_instance",
        codecs.flag("spec.boot_volume_local_to_instance"),
        schemas.FLAG,
    ),
)
# Inside clusters and cluster templates they are shown but can not be given, in Sahara's v2 too.
_BOOT_SHOWN = tuple(Field(each.name, each.codec) for each in _BOOT)
_SPEC_2 = (
    Field("floating_ip_pool", codecs.text("spec.floating_ip_pool"), schemas.TEXT_OR_NULL),
    Field("security_groups", codecs.texts_or_null("spec.security_groups"), schemas.TEXTS_OR_NULL),
    Field("auto_security_group", codecs.flag("spec.auto_security_group"), schemas.FLAG_OR_NULL),
    Field("availability_zone", codecs.text("spec.availability_zone"), schemas.TEXT_OR_NULL),
    Field("is_proxy_gateway", codecs.flag("spec.is_proxy_gateway"), schemas.FLAG_OR_NULL),
    Field(
        "volume_local_to_instance",
        codecs.flag("spec.volume_local_to_instance"),
        schemas.FLAG_OR_NULL,
    ),
)
_SPEC_AUTOCONFIG = Field(
    "use_autoconfig", codecs.flag_or_true("spec.use_autoconfig"), schemas.FLAG_OR_NULL
)


def _spec_shares(shown: Shown) -> Field:
    return Field("shares", codecs.shares("spec.shares"), schemas.SHARES, shown=shown)


def _spec_image(shown: Shown) -> Field:
    return Field("image_id", codecs.text("spec.image_id"), schemas.UUID_OR_NULL, shown=shown)


NODE_GROUP_TEMPLATE = Resource(
    template_pb2.NodeGroupTemplate,
    (
        CREATED,
        UPDATED,
        ID,
        Field("name", codecs.plain("name"), schemas.HOST_NAME_TEXT),
        description(schemas.TEXT_OR_NULL, Shown.WRITTEN),
        _FLAVOR,
        _spec_image(Shown.WRITTEN),
        PLUGIN,
        *_SPEC_1,
        *_BOOT,
        *_SPEC_2,
        Field("is_default", codecs.plain("is_default")),
        _SPEC_AUTOCONFIG,
        _spec_shares(Shown.WRITTEN),
        PUBLIC,
        PROTECTED,
        VERSION,
        PROJECT,
    ),
    required=("name", "flavor_id", "plugin_name", "plugin_version", "node_processes"),
)


def _group_fields() -> tuple[Field, ...]:
    return (
        ID,
        Field("name", codecs.plain("name"), schemas.HOST_NAME_TEXT),
        _FLAVOR,
        _spec_image(Shown.ALWAYS),
        *_SPEC_1,
        *_BOOT_SHOWN,
        Field("count", codecs.number("count"), schemas.COUNT),
        _SPEC_AUTOCONFIG,
        Field(
            "node_group_template_id",
            codecs.text("node_group_template_id"),
            schemas.UUID,
        ),
        *_SPEC_2,
        _spec_shares(Shown.ALWAYS),
        # Part of the schemas of later microversions only, and never of answers.
        Field("node_policy", codecs.node_policy("spec.node_policy"), shown=Shown.NEVER),
    )


TEMPLATE_NODE_GROUP = Resource(
    template_pb2.TemplateNodeGroup,
    # The message has no id of its own: the template that shows its groups makes one.
    tuple(each for each in _group_fields() if each is not ID),
)


def _living(group: cluster_pb2.NodeGroup) -> list[dict[str, Json]]:
    return [
        INSTANCE.show(each)
        for each in group.instances
        if each.state != cluster_pb2.Instance.STATE_FAILED
    ]


INSTANCE = Resource(
    cluster_pb2.Instance,
    (
        CREATED,
        UPDATED,
        ID,
        Field("instance_id", codecs.text("provider_id")),
        Field("instance_name", codecs.plain("name")),
        Field("internal_ip", codecs.text("internal_ip")),
        Field("management_ip", codecs.text("management_ip")),
        Field("storage_devices_number", codecs.plain("storage_devices_number")),
        Field("dns_hostname", codecs.text("dns_hostname")),
    ),
)

NODE_GROUP = Resource(
    cluster_pb2.NodeGroup,
    (
        CREATED,
        Field("updated_at", codecs.time("update_time")),
        *_group_fields(),
        Field("instances", codecs.computed(_living)),
    ),
)


def group_schema(**more: Schema) -> Schema:
    """Give the schema of a node group in a request: made from a template, or written inline.

    ``more`` are properties of later microversions.
    """
    by_template = {**NODE_GROUP.properties(), **more}
    inline = {
        name: schema for name, schema in by_template.items() if name != "node_group_template_id"
    }
    return {
        "oneOf": [
            schemas.mapping(by_template, "node_group_template_id", "name", "count"),
            schemas.mapping(inline, "name", "flavor_id", "node_processes", "count"),
        ]
    }


_NODE_POLICY = schemas.mapping(
    {"min_ready": schemas.size(0), "replace": schemas.size(0), "grace": schemas.size(0)}
)


def group_schema_2_1() -> Schema:
    """Give the schema of a node group from microversion 2.1 on."""
    return group_schema(node_policy=_NODE_POLICY)


GROUPS_SCHEMA_2_1: Schema = {"type": ["array", "null"], "items": group_schema_2_1()}
GROUPS_SCHEMA: Schema = {"type": ["array", "null"], "items": group_schema()}


def groups(resource: Resource[Any], show: codecs.Codec) -> codecs.Codec:
    """Give the codec of a list of node groups."""

    def store(it: codecs.Message, value: Json) -> None:
        it.node_groups.extend(resource.read(each)[0] for each in value or [])

    return codecs.Codec("node_groups", show.show, store)
