"""Cluster templates and clusters."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2, template_pb2
from savanna_api_gateway.core.words import CLUSTER_STATUS
from savanna_api_gateway.rest import codecs, schemas
from savanna_api_gateway.rest.fields import Field, Resource, Shown
from savanna_api_gateway.rest.resources.basics import (
    CREATED,
    ID,
    PLUGIN,
    PROJECT,
    PROTECTED,
    PUBLIC,
    UPDATED_ALWAYS,
    VERSION,
    description,
)
from savanna_api_gateway.rest.resources.groups import (
    GROUPS_SCHEMA,
    NODE_GROUP,
    TEMPLATE_NODE_GROUP,
    groups,
)

if TYPE_CHECKING:
    from savanna_api_gateway.rest.schemas import Json


def _template_groups(template: template_pb2.ClusterTemplate) -> list[dict[str, Json]]:
    made = codecs.shown_time(template.create_time)
    return [
        {
            "created_at": made,
            "updated_at": None,
            "id": str(uuid.uuid5(uuid.UUID(template.id), each.name)),
            **TEMPLATE_NODE_GROUP.show(each),
        }
        for each in template.node_groups
    ]


def _cluster_groups(cluster: cluster_pb2.Cluster) -> list[dict[str, Json]]:
    return [NODE_GROUP.show(each) for each in cluster.node_groups]


def _info(cluster: cluster_pb2.Cluster) -> dict[str, dict[str, str]]:
    return {name: dict(each.values) for name, each in cluster.info.sections.items()}


_CLUSTER_CONFIGS = Field("cluster_configs", codecs.configs("cluster_configs"), schemas.CONFIGS)
_DEFAULT_IMAGE = Field("default_image_id", codecs.text("default_image_id"), schemas.UUID_OR_NULL)
_NETWORK = Field(
    "neutron_management_network",
    codecs.text("neutron_management_network"),
    schemas.UUID_OR_NULL,
)
_ANTI_AFFINITY = Field("anti_affinity", codecs.texts("anti_affinity"), schemas.TEXTS_OR_NULL)
_AUTOCONFIG = Field("use_autoconfig", codecs.flag_or_true("use_autoconfig"), schemas.FLAG_OR_NULL)
_SHARES = Field("shares", codecs.shares("shares"), schemas.SHARES)
_DOMAIN = Field("domain_name", codecs.text("domain_name"), schemas.TEXT_OR_NULL)

CLUSTER_TEMPLATE = Resource(
    template_pb2.ClusterTemplate,
    (
        CREATED,
        UPDATED_ALWAYS,
        ID,
        Field("name", codecs.plain("name"), schemas.HOST_NAME_TEXT),
        description(schemas.TEXT_OR_NULL, Shown.ALWAYS),
        _CLUSTER_CONFIGS,
        _DEFAULT_IMAGE,
        _ANTI_AFFINITY,
        _NETWORK,
        PLUGIN,
        Field("is_default", codecs.plain("is_default")),
        _AUTOCONFIG,
        _SHARES,
        PUBLIC,
        PROTECTED,
        _DOMAIN,
        Field(
            "node_groups",
            groups(TEMPLATE_NODE_GROUP, codecs.computed(_template_groups)),
            GROUPS_SCHEMA,
        ),
        VERSION,
        PROJECT,
    ),
    required=("name", "plugin_name", "plugin_version"),
)

CLUSTER = Resource(
    cluster_pb2.Cluster,
    (
        CREATED,
        UPDATED_ALWAYS,
        ID,
        Field("name", codecs.plain("name"), schemas.HOST_NAME_TEXT),
        description(schemas.TEXT_OR_NULL, Shown.ALWAYS),
        Field("trust_id", codecs.fixed(None)),
        Field("is_transient", codecs.flag("is_transient"), schemas.FLAG),
        PLUGIN,
        _CLUSTER_CONFIGS,
        _DEFAULT_IMAGE,
        _NETWORK,
        _ANTI_AFFINITY,
        Field("anti_affinity_ratio", codecs.fixed(1)),
        Field("management_public_key", codecs.text("management_public_key")),
        Field("user_keypair_id", codecs.text("user_keypair_id"), schemas.KEYPAIR),
        Field("status", codecs.words("state", CLUSTER_STATUS)),
        Field("status_description", codecs.plain("status_description")),
        Field("info", codecs.computed(_info)),
        _AUTOCONFIG,
        Field("cluster_template_id", codecs.text("cluster_template_id"), schemas.UUID),
        _SHARES,
        PUBLIC,
        PROTECTED,
        _DOMAIN,
        Field("node_groups", groups(NODE_GROUP, codecs.computed(_cluster_groups)), GROUPS_SCHEMA),
        # Filled in by who has read it; lists of clusters leave it empty.
        Field("provision_progress", codecs.fixed(())),
        VERSION,
        PROJECT,
    ),
    required=("name", "plugin_name", "plugin_version"),
)
