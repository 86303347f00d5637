"""Launching, scaling, changing and removing clusters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.field_mask_pb2 import FieldMask

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import facts_service_pb2
from savanna.operation.v1.operation_pb2 import ON_FAILURE_UNSPECIFIED, OnFailure
from savanna.plugin.v1 import plugin_service_pb2
from savanna_api_gateway.core import checks, fill, masks, quota, unsupported
from savanna_api_gateway.core.ownership import check_changeable, check_deletable
from savanna_api_gateway.core.problems import Problems, Reason
from savanna_api_gateway.core.repeats import made_once
from savanna_api_gateway.core.survey import image_id_of, name_to_ids, network_id_of
from savanna_api_gateway.core.templates import find_group_templates, taken
from savanna_api_gateway.shelf import new_id
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1 import cloud_pb2, template_pb2
    from savanna.operation.v1 import operation_pb2
    from savanna_api_gateway.conductor import Conductor
    from savanna_api_gateway.core.reads import Clusters
    from savanna_api_gateway.core.survey import Survey
    from savanna_api_gateway.shelf import Shelves
    from savanna_kit.context import RequestContext

Cluster = cluster_pb2.Cluster

_NOUN = "ClusterResource"
_SETTABLE = frozenset(("name", "description", "is_public", "is_protected"))
_ACCESS_ROLES = frozenset(("member", "admin"))
MAX_AT_ONCE = 100
"""Most clusters that one request may ask for."""


@dataclass(frozen=True)
class Begun:
    """A cluster and the operation that changes it; none when the request was only checked."""

    cluster: Cluster
    operation: operation_pb2.Operation | None = None


class ClusterWork:
    """What can be done with clusters."""

    def __init__(
        self, conductor: Conductor, shelves: Shelves, survey: Survey, reads: Clusters
    ) -> None:
        self.reads = reads
        self._conductor = conductor
        self._shelves = shelves
        self._survey = survey

    async def create(
        self,
        caller: RequestContext,
        cluster: Cluster,
        *,
        given: fill.Given | None = None,
        validate_only: bool = False,
        request_id: str = "",
        on_failure: OnFailure.ValueType = ON_FAILURE_UNSPECIFIED,
    ) -> Begun:
        """Fill in, check, ask the plugin, store with its launch.

        A refusal stores nothing; one that was stored before is not refused.
        """

        async def write() -> Begun:
            wanted = await self._checked(caller, cluster, given or fill.given_of(cluster))
            if validate_only:
                await self._check_names_free(caller, [wanted.name])
                return Begun(wanted)
            return await self._store(caller, wanted, on_failure, request_id)

        async def before() -> Begun:
            request = pb.CreateClusterRequest(
                project_id=caller.project_id, request_id=request_id, known_only=True
            )
            response = await self._conductor.clusters.CreateCluster(request)
            return Begun(response.cluster, response.operation)

        return await made_once(write, before, request_id="" if validate_only else request_id)

    async def create_many(
        self,
        caller: RequestContext,
        cluster: Cluster,
        count: int,
        *,
        given: fill.Given,
        on_failure: OnFailure.ValueType = ON_FAILURE_UNSPECIFIED,
    ) -> Sequence[Begun]:
        """Create clusters "<name>-1" to "<name>-<count>"; all are checked before one is stored."""
        if not 1 <= count <= MAX_AT_ONCE:
            problems = Problems()
            problems.add(
                "count",
                Reason.INVALID_DATA,
                f"count must be from 1 to {MAX_AT_ONCE}, not {count}",
            )
            problems.raise_any()
        digits = len(str(count))
        wanted = []
        for number in range(1, count + 1):
            each = Cluster()
            each.CopyFrom(cluster)
            each.name = f"{cluster.name}-{number:0{digits}d}"
            wanted.append(await self._checked(caller, each, given))
        await self._check_names_free(caller, [each.name for each in wanted])
        return [await self._store(caller, each, on_failure) for each in wanted]

    async def update(
        self, caller: RequestContext, cluster_id: str, values: Cluster, paths: Sequence[str]
    ) -> Cluster:
        """Change name, description, is_public or is_protected."""

        async def write() -> Cluster:
            current = await self.reads.get(caller.project_id, cluster_id)
            check_changeable(current, caller.project_id, _NOUN, paths=paths)
            wanted = masks.changed(current, values, paths, _SETTABLE)
            problems = Problems()
            checks.check_host_name(problems, "name", wanted.name, checks.CLUSTER_NAME_LENGTH)
            problems.raise_any()
            request = pb.UpdateClusterRequest(
                project_id=caller.project_id, cluster=wanted, update_mask=FieldMask(paths=paths)
            )
            response = await self._conductor.clusters.UpdateCluster(request)
            return response.cluster

        if not paths:
            return await self.reads.get(caller.project_id, cluster_id)
        try:
            return await masks.raced(write, again=True)
        except errors.AlreadyExists as error:
            raise taken("Cluster", values.name) from error

    async def delete(
        self, caller: RequestContext, cluster: Cluster, *, force: bool
    ) -> operation_pb2.Operation:
        """Begin the removal; it supersedes everything under way."""
        check_deletable(cluster, caller.project_id, _NOUN)
        request = pb.DeleteClusterRequest(name=_name(caller, cluster.id), force=force)
        response = await self._conductor.clusters.DeleteCluster(request)
        return response.operation

    async def access(
        self, caller: RequestContext, cluster: Cluster
    ) -> facts_service_pb2.GetAccessResponse:
        """Give what is needed to log in: own clusters, to those with a role of work only."""
        if cluster.project_id != caller.project_id or not _ACCESS_ROLES & set(caller.roles):
            raise errors.PermissionDenied(
                f"logging in to cluster {cluster.name!r} needs the role member or admin "
                "in the project that owns it",
                reason="FORBIDDEN",
            )
        request = facts_service_pb2.GetAccessRequest(cluster_id=cluster.id, with_private_key=True)
        return await self._conductor.facts.GetAccess(request)

    async def _checked(
        self, caller: RequestContext, cluster: Cluster, given: fill.Given
    ) -> Cluster:
        problems = Problems()
        template = await self._template(caller, cluster.cluster_template_id, problems)
        group_templates = await find_group_templates(
            caller, self._shelves.node_group_templates, cluster.node_groups, problems
        )
        problems.raise_any()
        wanted = fill.filled_cluster(cluster, given, template, group_templates)
        checks.check_host_name(problems, "name", wanted.name, checks.CLUSTER_NAME_LENGTH)
        ground = await self._survey.ground(
            caller, wanted.plugin_name, wanted.plugin_version, problems=problems, enabled=True
        )
        _resolve(wanted, ground.cloud)
        _check_cluster(problems, wanted, ground)
        problems.raise_any()
        quota.check_quota(problems, ground.cloud, wanted.node_groups, {})
        request = plugin_service_pb2.ValidateRequest(cluster=wanted)
        problems.extend(await self._survey.plugins.validate(wanted.plugin_name, request))
        problems.raise_any()
        return wanted

    async def _template(
        self, caller: RequestContext, named: str, problems: Problems
    ) -> template_pb2.ClusterTemplate | None:
        if not named:
            return None
        try:
            return await self._shelves.cluster_templates.find(caller.project_id, named)
        except errors.NotFound:
            problems.add(
                "cluster_template_id",
                Reason.NOT_FOUND,
                f"Cluster template with id '{named}' not found",
                "List the cluster templates to see which there are",
            )
            return None

    async def _check_names_free(self, caller: RequestContext, names: Sequence[str]) -> None:
        for name in names:
            if await self.reads.named(caller.project_id, name) is not None:
                raise taken("Cluster", name)

    async def _store(
        self,
        caller: RequestContext,
        wanted: Cluster,
        on_failure: OnFailure.ValueType,
        request_id: str = "",
    ) -> Begun:
        request = pb.CreateClusterRequest(
            project_id=caller.project_id,
            cluster=wanted,
            request_id=request_id or new_id(),
            on_failure=on_failure,
        )
        try:
            response = await self._conductor.clusters.CreateCluster(request)
        except errors.AlreadyExists as error:
            raise taken("Cluster", wanted.name) from error
        return Begun(response.cluster, response.operation)


def _name(caller: RequestContext, cluster_id: str) -> pb.OwnedName:
    return pb.OwnedName(project_id=caller.project_id, id=cluster_id)


def _resolve(wanted: Cluster, cloud: cloud_pb2.CloudCatalog) -> None:
    for group in wanted.node_groups:
        name_to_ids(group.spec, cloud)
    wanted.default_image_id = image_id_of(wanted.default_image_id, cloud)
    wanted.neutron_management_network = network_id_of(wanted.neutron_management_network, cloud)


def _check_cluster(problems: Problems, wanted: Cluster, ground: checks.Ground) -> None:
    if wanted.default_image_id:
        checks.check_image(problems, "default_image_id", wanted.default_image_id, ground)
    elif not wanted.node_groups or any(not each.spec.image_id for each in wanted.node_groups):
        problems.add(
            "default_image_id",
            Reason.NOT_FOUND,
            "'default_image_id' field is not found",
            "Name a registered image in the cluster, its template or every node group",
        )
    checks.check_configs(problems, "cluster_configs", wanted.cluster_configs, ground.version)
    checks.check_groups(problems, wanted.node_groups, ground)
    checks.check_processes(problems, "anti_affinity", wanted.anti_affinity, ground.version)
    unsupported.check_cluster(problems, wanted)
    unsupported.check_launch(problems, wanted)
    checks.check_host_names(problems, wanted.name, wanted.domain_name, wanted.node_groups)
    if wanted.neutron_management_network:
        checks.check_network(problems, wanted.neutron_management_network, ground.cloud)
    else:
        problems.add(
            "neutron_management_network",
            Reason.NOT_FOUND,
            "'neutron_management_network' field is not found",
            "Name a network in the cluster or its template",
        )
