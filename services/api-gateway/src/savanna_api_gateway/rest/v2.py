"""The table of v2: every route there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_api_gateway.rest.handlers.clusters import ClusterRoutes
from savanna_api_gateway.rest.handlers.images import ImageRoutes
from savanna_api_gateway.rest.handlers.jobs import JobRoutes
from savanna_api_gateway.rest.handlers.operations import OperationRoutes
from savanna_api_gateway.rest.handlers.orphans import OrphanRoutes
from savanna_api_gateway.rest.handlers.plugins import PluginRoutes
from savanna_api_gateway.rest.handlers.programs import JobBinaryItems, JobTemplateItems
from savanna_api_gateway.rest.handlers.templates import (
    ClusterTemplateItems,
    NodeGroupTemplateItems,
)
from savanna_api_gateway.rest.routing import Table

if TYPE_CHECKING:
    from savanna_api_gateway.core.api import Api

MOUNT = "v2"


def table(api: Api) -> Table:
    """Lay the routes over the core."""
    kinds = (
        PluginRoutes(api.plugins),
        ImageRoutes(api.images),
        NodeGroupTemplateItems(api.node_group_templates),
        ClusterTemplateItems(api.cluster_templates),
        ClusterRoutes(api.clusters, api.scaling),
        JobBinaryItems(api.job_binaries),
        JobTemplateItems(api.job_templates),
        JobRoutes(api.jobs),
        OperationRoutes(api.operations),
        OrphanRoutes(api.orphans),
    )
    return Table(route for kind in kinds for route in kind.routes())
