"""Clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2
from savanna.operation.v1 import operation_pb2
from savanna_api_gateway.core.scale import Change
from savanna_api_gateway.rest import paging, schemas
from savanna_api_gateway.rest.fields import Answer
from savanna_api_gateway.rest.handlers.items import given, item_id
from savanna_api_gateway.rest.handlers.templates import given_of, read_group
from savanna_api_gateway.rest.microversion import V2_1
from savanna_api_gateway.rest.progress import shown_steps
from savanna_api_gateway.rest.resources.clusters import CLUSTER
from savanna_api_gateway.rest.resources.groups import (
    GROUPS_SCHEMA_2_1,
    group_schema,
    group_schema_2_1,
)
from savanna_api_gateway.rest.routing import Route
from savanna_api_gateway.rest.schemas import BodySchema
from savanna_api_gateway.rest.settled import SettledSteps
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_api_gateway.core.clusters import ClusterWork
    from savanna_api_gateway.core.scale import Scaling
    from savanna_api_gateway.rest.routing import Call
    from savanna_api_gateway.rest.schemas import Json
    from savanna_kit.context import RequestContext

_SORTABLE = ("id", "name", "plugin_name", "plugin_version", "status", "created_at", "updated_at")
_PATH = "/clusters"
_ONE = f"{_PATH}/{{id}}"

_ON_FAILURE = {
    "rollback": operation_pb2.ON_FAILURE_ROLLBACK,
    "keep": operation_pb2.ON_FAILURE_KEEP,
    "continue": operation_pb2.ON_FAILURE_CONTINUE,
}
_ON_FAILURE_SCHEMA: schemas.Schema = {"type": "string", "enum": list(_ON_FAILURE)}

_RESIZE = schemas.mapping(
    {"name": schemas.TEXT, "count": schemas.size(0), "instances": schemas.TEXTS}, "name", "count"
)
_SCALE = {
    **schemas.mapping(
        {
            "resize_node_groups": {"type": "array", "minItems": 1, "items": _RESIZE},
            "add_node_groups": {"type": "array", "minItems": 1, "items": group_schema()},
        }
    ),
    "anyOf": [{"required": ["resize_node_groups"]}, {"required": ["add_node_groups"]}],
}
_SCALE_2_1 = {
    **_SCALE,
    "properties": {
        **_SCALE["properties"],
        "add_node_groups": {"type": "array", "minItems": 1, "items": group_schema_2_1()},
        "on_failure": _ON_FAILURE_SCHEMA,
    },
}
_VERIFICATION = schemas.mapping({"status": {"type": "string", "enum": ["START"]}})
_CHANGE = schemas.mapping(
    {
        "description": schemas.TEXT_OR_NULL,
        "name": schemas.HOST_NAME_TEXT,
        "is_public": schemas.FLAG_OR_NULL,
        "is_protected": schemas.FLAG_OR_NULL,
        "verification": _VERIFICATION,
        "shares": schemas.SHARES,
        "update_keypair": schemas.FLAG_OR_NULL,
    }
)


_NOT_CHANGED = {
    "shares": "give them when the cluster is created",
    "update_keypair": "give user_keypair_id when the cluster is created",
}
"""What Sahara changes later and Savanna does not, with what to do instead."""


class ClusterRoutes:
    """The routes of clusters."""

    def __init__(self, clusters: ClusterWork, scaling: Scaling) -> None:
        self._clusters = clusters
        self._scaling = scaling
        self._settled = SettledSteps()

    def routes(self) -> list[Route]:
        """Give the routes."""
        create = BodySchema(CLUSTER.create_schema(count=schemas.COUNT))
        create_2_1 = BodySchema(
            CLUSTER.create_schema(
                count=schemas.COUNT, on_failure=_ON_FAILURE_SCHEMA, node_groups=GROUPS_SCHEMA_2_1
            )
        )
        filters = ("plugin_name", "plugin_version", "name")
        return [
            Route("GET", _PATH, self.index, query=filters),
            Route("POST", _PATH, self.create, body=create),
            Route("POST", _PATH, self.create, body=create_2_1, since=V2_1),
            Route("GET", _ONE, self.show, find=self.find, query=("show_progress",)),
            Route("PUT", _ONE, self.scale, find=self.find, body=BodySchema(_SCALE)),
            Route("PUT", _ONE, self.scale, find=self.find, body=BodySchema(_SCALE_2_1), since=V2_1),
            Route("PATCH", _ONE, self.change, find=self.find, body=BodySchema(_CHANGE)),
            Route(
                "DELETE",
                _ONE,
                self.remove,
                find=self.find,
                body=BodySchema(schemas.mapping({"force": schemas.FLAG})),
            ),
        ]

    async def find(self, caller: RequestContext, path: Mapping[str, str]) -> cluster_pb2.Cluster:
        """Read the one that a path names."""
        return await self._clusters.reads.get(caller.project_id, item_id(path))

    async def index(self, call: Call) -> Json:
        """List them, without their progress."""
        wish = paging.wish(call.query, _SORTABLE)
        clusters = await self._clusters.reads.all(
            call.caller.project_id,
            name=call.query.get("name", ""),
            plugin_name=call.query.get("plugin_name", ""),
            plugin_version=call.query.get("plugin_version", ""),
        )
        page = paging.page(clusters, wish, CLUSTER.show_field)
        return page.wrapped("clusters", [CLUSTER.show(each, Answer.LIST) for each in page.things])

    async def create(self, call: Call) -> Json:
        """Launch one, or ``count`` of them."""
        body = given(call.body)
        count = body.pop("count", None)
        on_failure = _on_failure(body.pop("on_failure", ""))
        cluster, paths = CLUSTER.read(body)
        fields = given_of(body, paths)
        if count is None:
            begun = await self._clusters.create(
                call.caller,
                cluster,
                given=fields,
                on_failure=on_failure,
                request_id=call.key,
            )
            return {"cluster": CLUSTER.show(begun.cluster)}
        many = await self._clusters.create_many(
            call.caller, cluster, count, given=fields, on_failure=on_failure
        )
        return {"clusters": [{"cluster": CLUSTER.show(each.cluster)} for each in many]}

    async def show(self, call: Call) -> Json:
        """Show one with its progress."""
        with_events = call.query.get("show_progress", "").lower() == "true"
        return await self._shown(call, call.subject, with_events=with_events)

    async def scale(self, call: Call) -> Json:
        """Change the numbers of nodes."""
        resize = [
            cluster_pb2.NodeGroup(
                name=each["name"], count=each["count"], leaving=each.get("instances", [])
            )
            for each in call.body.get("resize_node_groups", [])
        ]
        add = [read_group(each) for each in call.body.get("add_node_groups", [])]
        change = Change(resize, [group for group, _ in add], tuple(fields for _, fields in add))
        begun = await self._scaling.scale(
            call.caller,
            call.subject,
            change,
            on_failure=_on_failure(call.body.get("on_failure", "")),
            request_id=call.key,
        )
        return await self._shown(call, begun.cluster, with_events=False)

    async def change(self, call: Call) -> Json:
        """Replace what does not change the nodes."""
        _check_offered(call.body)
        named = {name: value for name, value in call.body.items() if name not in _NOT_CHANGED}
        values, paths = CLUSTER.read(named)
        changed = await self._clusters.update(call.caller, call.subject.id, values, paths)
        return await self._shown(call, changed, with_events=False)

    async def remove(self, call: Call) -> Json:
        """Begin the removal of one."""
        force = call.body.get("force", False)
        await self._clusters.delete(call.caller, call.subject, force=force)
        # Sahara names the stack that it leaves behind; Savanna leaves none.
        return {"stack_name": None} if force else None

    async def _shown(self, call: Call, cluster: cluster_pb2.Cluster, *, with_events: bool) -> Json:
        project_id = call.caller.project_id
        steps = None if with_events else self._settled.look(project_id, cluster)
        if steps is None:
            read = await self._clusters.reads.progress(project_id, cluster.id)
            steps = shown_steps(cluster, read, with_events=with_events)
            if not with_events:
                self._settled.keep(project_id, cluster, steps)
        return {"cluster": {**CLUSTER.show(cluster), "provision_progress": steps}}


def _on_failure(word: str) -> operation_pb2.OnFailure.ValueType:
    return _ON_FAILURE.get(word, operation_pb2.ON_FAILURE_UNSPECIFIED)


def _check_offered(body: Mapping[str, Json]) -> None:
    if body.get("verification"):
        raise errors.InvalidArgument(
            "Cannot verify cluster. Reason: All verifications are disabled", reason="CANNOT_VERIFY"
        )
    for name, instead in _NOT_CHANGED.items():
        if body.get(name):
            raise errors.Unimplemented(
                f"{name} of a cluster can not be changed\nLeave it out; {instead}",
                reason="NOT_IMPLEMENTED",
            )
