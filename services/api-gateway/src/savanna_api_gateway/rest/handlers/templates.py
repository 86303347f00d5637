"""Node group templates and cluster templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from savanna_api_gateway.core import fill
from savanna_api_gateway.rest.handlers.items import Items, given
from savanna_api_gateway.rest.resources.clusters import CLUSTER_TEMPLATE
from savanna_api_gateway.rest.resources.groups import NODE_GROUP, NODE_GROUP_TEMPLATE
from savanna_api_gateway.rest.routing import Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from savanna.cluster.v1 import cluster_pb2, template_pb2
    from savanna_api_gateway.core.templates import ClusterTemplates, NodeGroupTemplates
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json

_SPEC = "spec."
_SORTABLE = ("id", "name", "plugin_name", "plugin_version", "created_at", "updated_at")
_FILTERS = ("plugin_name", "plugin_version", "name")
_OWN = ("id", "created_at", "updated_at", "project_id", "is_default")
"""Fields that belong to one deployment, which exports leave out."""


class NodeGroupTemplateItems(Items["template_pb2.NodeGroupTemplate"]):
    """Node group templates."""

    path = "/node-group-templates"
    one, many = "node_group_template", "node_group_templates"
    sortable, filters = _SORTABLE, _FILTERS

    def __init__(self, core: NodeGroupTemplates) -> None:
        super().__init__(core, NODE_GROUP_TEMPLATE)
        self._templates = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        export = Route("GET", f"{self.path}/{{id}}/export", self.export, find=self.find)
        return [*super().routes(), export]

    async def store(
        self, call: Call, message: template_pb2.NodeGroupTemplate, paths: Sequence[str]
    ) -> template_pb2.NodeGroupTemplate:
        """Store one."""
        return await self._templates.create(
            call.caller, message, given=spec_fields(paths), request_id=call.key
        )

    async def replace(
        self, call: Call, values: template_pb2.NodeGroupTemplate, paths: Sequence[str]
    ) -> template_pb2.NodeGroupTemplate:
        """Replace fields."""
        return await self._templates.update(call.caller, call.subject.id, values, paths)

    async def export(self, call: Call) -> Response:
        """Show it without what belongs to this deployment."""
        left_open = ("flavor_id", "security_groups", "image_id", "floating_ip_pool")
        return _exported(self.one, self.resource.show(call.subject), left_open)


class ClusterTemplateItems(Items["template_pb2.ClusterTemplate"]):
    """Cluster templates."""

    path = "/cluster-templates"
    one, many = "cluster_template", "cluster_templates"
    sortable, filters = _SORTABLE, _FILTERS

    def __init__(self, core: ClusterTemplates) -> None:
        super().__init__(core, CLUSTER_TEMPLATE)
        self._templates = core

    def routes(self) -> list[Route]:
        """Give the routes."""
        export = Route("GET", f"{self.path}/{{id}}/export", self.export, find=self.find)
        return [*super().routes(), export]

    async def store(
        self, call: Call, message: template_pb2.ClusterTemplate, paths: Sequence[str]
    ) -> template_pb2.ClusterTemplate:
        """Store one."""
        fields = given_of(call.body, paths)
        return await self._templates.create(call.caller, message, given=fields, request_id=call.key)

    async def replace(
        self, call: Call, values: template_pb2.ClusterTemplate, paths: Sequence[str]
    ) -> template_pb2.ClusterTemplate:
        """Replace fields."""
        return await self._templates.update(
            call.caller, call.subject.id, values, paths, given=given_of(call.body, paths)
        )

    async def export(self, call: Call) -> Response:
        """Show it without what belongs to this deployment."""
        left_open = ("default_image_id", "node_groups")
        return _exported(self.one, self.resource.show(call.subject), left_open)


def spec_fields(paths: Iterable[str]) -> frozenset[str]:
    """Give the names of the given fields of a node group's spec."""
    return frozenset(each.removeprefix(_SPEC) for each in paths if each.startswith(_SPEC))


def given_of(body: Mapping[str, Json], paths: Iterable[str]) -> fill.Given:
    """Tell what a body gives: of the thing itself, and of each of its node groups."""
    groups = tuple(read_group(each)[1] for each in body.get("node_groups") or ())
    return fill.Given(frozenset(each.partition(".")[0] for each in paths), groups)


def read_group(body: Mapping[str, Json]) -> tuple[cluster_pb2.NodeGroup, frozenset[str]]:
    """Read a node group: the message, and the given fields of its spec."""
    message, paths = NODE_GROUP.read(given(body))
    return message, spec_fields(paths)


def _exported(key: str, shown: dict[str, Json], left_open: Iterable[str]) -> Response:
    body = {name: value for name, value in shown.items() if name not in _OWN}
    body |= {name: f"{{{name}}}" for name in left_open}
    return Response(
        orjson.dumps({key: body}),
        media_type="application/json",
        headers={"Content-Disposition": f"attachment; filename={key}.json"},
    )
