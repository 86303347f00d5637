"""Node group templates and cluster templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1 import template_pb2
from savanna_api_gateway.core import checks, fill, masks, unsupported
from savanna_api_gateway.core.ownership import check_changeable, check_deletable
from savanna_api_gateway.core.problems import Problems, Reason
from savanna_api_gateway.core.repeats import item_made_once
from savanna_api_gateway.core.survey import image_id_of, name_to_ids, network_id_of
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from savanna.cluster.v1 import cluster_pb2
    from savanna_api_gateway.core.reads import Clusters
    from savanna_api_gateway.core.survey import Survey
    from savanna_api_gateway.shelf import Shelf, Shelves
    from savanna_kit.context import RequestContext

NodeGroupTemplate = template_pb2.NodeGroupTemplate
ClusterTemplate = template_pb2.ClusterTemplate

_GROUP_SETTABLE = frozenset(
    ("name", "description", "plugin_name", "plugin_version", "spec", "is_public", "is_protected")
)
_CLUSTER_SETTABLE = frozenset(
    (
        "name",
        "description",
        "plugin_name",
        "plugin_version",
        "default_image_id",
        "neutron_management_network",
        "cluster_configs",
        "node_groups",
        "anti_affinity",
        "domain_name",
        "shares",
        "use_autoconfig",
        "is_public",
        "is_protected",
    )
)
_FLAGS = {"is_public", "is_protected"}


class NodeGroupTemplates:
    """What kinds of nodes users wrote down."""

    noun = "NodeGroupTemplate"

    def __init__(self, shelves: Shelves, survey: Survey, clusters: Clusters) -> None:
        self.shelf: Shelf[NodeGroupTemplate] = shelves.node_group_templates
        self._cluster_templates = shelves.cluster_templates
        self._survey = survey
        self._clusters = clusters

    async def create(
        self,
        caller: RequestContext,
        template: NodeGroupTemplate,
        *,
        given: frozenset[str] | None = None,
        request_id: str = "",
    ) -> NodeGroupTemplate:
        """Check and store.

        ``given`` names the given fields of the spec.
        """
        fields = fill.given_in(template.spec) if given is None else given
        return await item_made_once(
            self.shelf,
            caller,
            lambda: self._create(caller, template, fields, request_id),
            request_id=request_id,
        )

    async def _create(
        self,
        caller: RequestContext,
        template: NodeGroupTemplate,
        fields: frozenset[str],
        request_id: str,
    ) -> NodeGroupTemplate:
        wanted = NodeGroupTemplate()
        wanted.CopyFrom(template)
        wanted.spec.CopyFrom(fill.filled_spec(template.spec, fields, None))
        await self._check(caller, wanted)
        try:
            return await self.shelf.create(caller.project_id, wanted, request_id)
        except errors.AlreadyExists as error:
            raise taken("NodeGroup template", wanted.name) from error

    async def update(
        self,
        caller: RequestContext,
        item_id: str,
        values: NodeGroupTemplate,
        paths: Sequence[str],
    ) -> NodeGroupTemplate:
        """Replace fields; cluster templates made from it get their copies refreshed."""
        check_plugin_pair(paths)

        async def write() -> NodeGroupTemplate:
            current = await self.shelf.get(caller.project_id, item_id)
            check_changeable(current, caller.project_id, self.noun, paths=paths)
            wanted = masks.changed(current, values, paths, _GROUP_SETTABLE)
            if not set(paths) <= _FLAGS:
                await self._check(caller, wanted)
            wanted.revision = values.revision or current.revision
            return await self.shelf.update(caller.project_id, wanted, masks.tops(paths))

        try:
            updated = await masks.raced(write, again=not values.revision)
        except errors.AlreadyExists as error:
            raise taken("NodeGroup template", values.name) from error
        except errors.FailedPrecondition as error:
            raise in_use(
                error,
                Reason.UPDATE_FAILED,
                f"NodeGroupTemplate id '{item_id}' can not be updated. "
                "It is referenced by an existing cluster.",
            ) from error
        if any(path.startswith("spec") for path in paths):
            await self._refresh_copies(caller, updated)
        return updated

    async def delete(self, caller: RequestContext, item_id: str) -> None:
        """Remove."""
        current = await self.shelf.get(caller.project_id, item_id)
        check_deletable(current, caller.project_id, self.noun)
        try:
            await self.shelf.delete(caller.project_id, current.id)
        except errors.FailedPrecondition as error:
            users = await self._users(caller, current.id)
            raise in_use(
                error,
                Reason.INVALID_REFERENCE,
                f"Node group template {current.id} is in use by {users}",
            ) from error

    async def _check(self, caller: RequestContext, wanted: NodeGroupTemplate) -> None:
        problems = Problems()
        checks.check_host_name(problems, "name", wanted.name, checks.TEMPLATE_NAME_LENGTH)
        ground = await self._survey.ground(
            caller, wanted.plugin_name, wanted.plugin_version, problems=problems
        )
        name_to_ids(wanted.spec, ground.cloud)
        checks.check_spec(problems, "spec", wanted.spec, ground)
        problems.raise_any()

    async def _users(self, caller: RequestContext, template_id: str) -> str:
        templates = await self._cluster_templates.all(caller.project_id)
        clusters = await self._clusters.all(caller.project_id)
        by_templates = _names_using(templates, template_id)
        by_clusters = _names_using(clusters, template_id)
        return f"cluster templates: {by_templates}; and clusters: {by_clusters}"

    async def _refresh_copies(self, caller: RequestContext, template: NodeGroupTemplate) -> None:
        for each in await self._cluster_templates.all(caller.project_id):
            if each.project_id != caller.project_id:
                continue
            touched = [
                group for group in each.node_groups if group.node_group_template_id == template.id
            ]
            for group in touched:
                group.spec.CopyFrom(template.spec)
            if touched:
                await self._cluster_templates.update(caller.project_id, each, ["node_groups"])


class ClusterTemplates:
    """What kinds of clusters users wrote down."""

    noun = "ClusterTemplate"

    def __init__(self, shelves: Shelves, survey: Survey, clusters: Clusters) -> None:
        self.shelf: Shelf[ClusterTemplate] = shelves.cluster_templates
        self._group_templates = shelves.node_group_templates
        self._survey = survey
        self._clusters = clusters

    async def create(
        self,
        caller: RequestContext,
        template: ClusterTemplate,
        *,
        given: fill.Given | None = None,
        request_id: str = "",
    ) -> ClusterTemplate:
        """Fill in from node group templates, check and store."""
        fields = given or fill.given_of(template)
        return await item_made_once(
            self.shelf,
            caller,
            lambda: self._create(caller, template, fields, request_id),
            request_id=request_id,
        )

    async def _create(
        self,
        caller: RequestContext,
        template: ClusterTemplate,
        fields: fill.Given,
        request_id: str,
    ) -> ClusterTemplate:
        wanted = await self._filled(caller, template, fields)
        await self._check(caller, wanted)
        try:
            return await self.shelf.create(caller.project_id, wanted, request_id)
        except errors.AlreadyExists as error:
            raise taken("Cluster template", wanted.name) from error

    async def update(
        self,
        caller: RequestContext,
        item_id: str,
        values: ClusterTemplate,
        paths: Sequence[str],
        *,
        given: fill.Given | None = None,
    ) -> ClusterTemplate:
        """Replace fields; groups are replaced as a whole and filled in again."""
        check_plugin_pair(paths)
        fields = given or fill.given_of(values)

        async def write() -> ClusterTemplate:
            current = await self.shelf.get(caller.project_id, item_id)
            check_changeable(current, caller.project_id, self.noun, paths=paths)
            filled = await self._filled(caller, values, fields)
            wanted = masks.changed(current, filled, paths, _CLUSTER_SETTABLE)
            if not set(paths) <= _FLAGS:
                await self._check(caller, wanted)
            wanted.revision = values.revision or current.revision
            return await self.shelf.update(caller.project_id, wanted, masks.tops(paths))

        try:
            return await masks.raced(write, again=not values.revision)
        except errors.AlreadyExists as error:
            raise taken("Cluster template", values.name) from error
        except errors.FailedPrecondition as error:
            raise in_use(
                error,
                Reason.UPDATE_FAILED,
                f"Cluster Template id '{item_id}' can not be updated. "
                "It is referenced by at least one cluster.",
            ) from error

    async def delete(self, caller: RequestContext, item_id: str) -> None:
        """Remove."""
        current = await self.shelf.get(caller.project_id, item_id)
        check_deletable(current, caller.project_id, self.noun)
        try:
            await self.shelf.delete(caller.project_id, current.id)
        except errors.FailedPrecondition as error:
            clusters = await self._clusters.all(caller.project_id)
            names = [each.name for each in clusters if each.cluster_template_id == current.id]
            raise in_use(
                error,
                Reason.INVALID_REFERENCE,
                f"Cluster template {current.id} in use by {', '.join(names)}",
            ) from error

    async def _filled(
        self, caller: RequestContext, template: ClusterTemplate, given: fill.Given
    ) -> ClusterTemplate:
        problems = Problems()
        group_templates = await find_group_templates(
            caller, self._group_templates, template.node_groups, problems
        )
        problems.raise_any()
        return fill.filled_cluster_template(template, given, group_templates)

    async def _check(self, caller: RequestContext, wanted: ClusterTemplate) -> None:
        problems = Problems()
        checks.check_host_name(problems, "name", wanted.name, checks.TEMPLATE_NAME_LENGTH)
        ground = await self._survey.ground(
            caller, wanted.plugin_name, wanted.plugin_version, problems=problems
        )
        for group in wanted.node_groups:
            name_to_ids(group.spec, ground.cloud)
        wanted.default_image_id = image_id_of(wanted.default_image_id, ground.cloud)
        wanted.neutron_management_network = network_id_of(
            wanted.neutron_management_network, ground.cloud
        )
        if wanted.default_image_id:
            checks.check_image(problems, "default_image_id", wanted.default_image_id, ground)
        checks.check_configs(problems, "cluster_configs", wanted.cluster_configs, ground.version)
        checks.check_groups(problems, wanted.node_groups, ground)
        checks.check_processes(problems, "anti_affinity", wanted.anti_affinity, ground.version)
        unsupported.check_cluster(problems, wanted)
        if wanted.neutron_management_network:
            checks.check_network(problems, wanted.neutron_management_network, ground.cloud)
        problems.raise_any()


async def find_group_templates(
    caller: RequestContext,
    shelf: Shelf[NodeGroupTemplate],
    groups: Iterable[template_pb2.TemplateNodeGroup | cluster_pb2.NodeGroup],
    problems: Problems,
) -> Mapping[str, NodeGroupTemplate]:
    """Read the node group templates that groups name, by what they name them."""
    found: dict[str, NodeGroupTemplate] = {}
    for index, group in enumerate(groups):
        named = group.node_group_template_id
        if not named or named in found:
            continue
        try:
            found[named] = await shelf.find(caller.project_id, named)
        except errors.NotFound:
            problems.add(
                f"node_groups[{index}].node_group_template_id",
                Reason.NOT_FOUND,
                f"NodeGroup template with id '{named}' not found",
                "List the node group templates to see which there are",
            )
    return found


def taken(noun: str, name: str) -> errors.AlreadyExists:
    """Give the error for a name that is in use."""
    return errors.AlreadyExists(
        f"{noun} with name '{name}' already exists", reason=Reason.NAME_ALREADY_EXISTS
    )


def in_use(
    error: errors.FailedPrecondition, reason: Reason, message: str
) -> errors.FailedPrecondition:
    """Give the error for something in use; a refusal that is already worded stays."""
    if error.reason in set(Reason):
        return error
    return errors.FailedPrecondition(message, reason=reason)


def check_plugin_pair(paths: Sequence[str]) -> None:
    """A new plugin needs a new version."""
    if "plugin_name" in paths and "plugin_version" not in paths:
        problems = Problems()
        problems.add(
            "plugin_version",
            Reason.INVALID_REFERENCE,
            "You must specify a hadoop_version value for your plugin_name",
        )
        problems.raise_any()


def _names_using(
    things: Iterable[ClusterTemplate] | Iterable[cluster_pb2.Cluster], template_id: str
) -> str:
    names = [
        each.name
        for each in things
        if any(group.node_group_template_id == template_id for group in each.node_groups)
    ]
    return ", ".join(names) or "N/A"
