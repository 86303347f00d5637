"""Changing the size of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.operation.v1.operation_pb2 import ON_FAILURE_UNSPECIFIED, OnFailure
from savanna.plugin.v1 import plugin_service_pb2
from savanna_api_gateway.core import checks, fill, quota
from savanna_api_gateway.core.clusters import Begun
from savanna_api_gateway.core.ownership import check_changeable
from savanna_api_gateway.core.problems import Problems, Reason, known
from savanna_api_gateway.core.repeats import made_once
from savanna_api_gateway.core.survey import name_to_ids
from savanna_api_gateway.core.templates import find_group_templates
from savanna_api_gateway.core.words import CLUSTER_STATUS
from savanna_api_gateway.shelf import is_uuid, new_id
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_api_gateway.conductor import Conductor
    from savanna_api_gateway.core.survey import Survey
    from savanna_api_gateway.shelf import Shelves
    from savanna_kit.context import RequestContext

NodeGroup = cluster_pb2.NodeGroup

_LIVING = frozenset(
    (
        cluster_pb2.Instance.STATE_PLANNED,
        cluster_pb2.Instance.STATE_CREATED,
        cluster_pb2.Instance.STATE_REACHABLE,
        cluster_pb2.Instance.STATE_CONFIGURED,
        cluster_pb2.Instance.STATE_READY,
    )
)


@dataclass(frozen=True)
class Change:
    """Groups that get another count, and new groups with the given fields of their specs."""

    resize: Sequence[NodeGroup] = ()
    add: Sequence[NodeGroup] = ()
    added_given: tuple[frozenset[str], ...] = field(default=())


def sorted_out(cluster: cluster_pb2.Cluster, groups: Sequence[NodeGroup]) -> Change:
    """Tell groups that the cluster has from new ones."""
    present = {each.name for each in cluster.node_groups}
    resize = [each for each in groups if each.name in present]
    add = [each for each in groups if each.name not in present and _is_described(each)]
    missing = [each for each in groups if each.name not in present and not _is_described(each)]
    return Change([*resize, *missing], add, tuple(fill.given_in(each.spec) for each in add))


def _is_described(group: NodeGroup) -> bool:
    return bool(group.node_group_template_id) or group.HasField("spec")


class Scaling:
    """Scales clusters."""

    def __init__(self, conductor: Conductor, shelves: Shelves, survey: Survey) -> None:
        self._conductor = conductor
        self._shelves = shelves
        self._survey = survey

    async def scale(
        self,
        caller: RequestContext,
        cluster: cluster_pb2.Cluster,
        change: Change,
        *,
        validate_only: bool = False,
        request_id: str = "",
        on_failure: OnFailure.ValueType = ON_FAILURE_UNSPECIFIED,
    ) -> Begun:
        """Check, ask the plugin, store with its operation.

        A refused request changes nothing. One that was stored before is not refused for what it
        has brought about itself: it gives the operation that it made.
        """
        name = pb.OwnedName(project_id=caller.project_id, id=cluster.id)

        async def write() -> Begun:
            check_changeable(cluster, caller.project_id, "ClusterResource")
            groups = await self._checked_groups(caller, cluster, change)
            if validate_only:
                return Begun(_as_wanted(cluster, groups))
            return await self._store(
                pb.ScaleClusterRequest(
                    name=name,
                    node_groups=groups,
                    revision=cluster.revision,
                    request_id=request_id or new_id(),
                    on_failure=on_failure,
                )
            )

        async def before() -> Begun:
            return await self._store(
                pb.ScaleClusterRequest(name=name, request_id=request_id, known_only=True)
            )

        return await made_once(write, before, request_id="" if validate_only else request_id)

    async def _store(self, request: pb.ScaleClusterRequest) -> Begun:
        response = await self._conductor.clusters.ScaleCluster(request)
        return Begun(response.cluster, response.operation)

    async def _checked_groups(
        self, caller: RequestContext, cluster: cluster_pb2.Cluster, change: Change
    ) -> list[NodeGroup]:
        problems = Problems()
        group_templates = await find_group_templates(
            caller, self._shelves.node_group_templates, change.add, problems
        )
        problems.raise_any()
        ground = await self._survey.ground(
            caller, cluster.plugin_name, cluster.plugin_version, problems=problems, enabled=True
        )
        _check_active(cluster)
        if cluster.default_image_id:
            checks.check_image(problems, "default_image_id", cluster.default_image_id, ground)
        resized = [_resized(problems, cluster, each) for each in change.resize]
        added = fill.filled_groups(change.add, change.added_given, group_templates)
        for group in added:
            name_to_ids(group.spec, ground.cloud)
        _check_names(problems, cluster, change)
        checks.check_groups(problems, added, ground)
        checks.check_host_names(problems, cluster.name, cluster.domain_name, added)
        problems.raise_any()
        groups = [*resized, *added]
        wanted = _as_wanted(cluster, groups)
        present = {each.name: each.count for each in cluster.node_groups}
        quota.check_quota(problems, ground.cloud, wanted.node_groups, present)
        request = plugin_service_pb2.ValidateRequest(cluster=wanted, current=cluster)
        problems.extend(await self._survey.plugins.validate(cluster.plugin_name, request))
        problems.raise_any()
        return groups


def _check_active(cluster: cluster_pb2.Cluster) -> None:
    if cluster.state != cluster_pb2.Cluster.STATE_ACTIVE:
        raise errors.FailedPrecondition(
            "Cluster cannot be scaled not in 'Active' status. "
            f"Cluster status: {CLUSTER_STATUS[cluster.state]}",
            reason=Reason.INVALID_REFERENCE,
        )


def _check_names(problems: Problems, cluster: cluster_pb2.Cluster, change: Change) -> None:
    checks.check_repeated_names(problems, [each.name for each in (*change.resize, *change.add)])
    present = {each.name for each in cluster.node_groups}
    for each in change.add:
        if each.name in present:
            problems.add(
                "node_groups",
                Reason.INVALID_REFERENCE,
                f"Can't add new nodegroup. Cluster already has nodegroup with name '{each.name}'",
                "Resize the group instead or choose another name",
            )
    if not change.resize and not change.add:
        problems.add("node_groups", Reason.INVALID_DATA, "Name at least one node group")


def _resized(problems: Problems, cluster: cluster_pb2.Cluster, asked: NodeGroup) -> NodeGroup:
    current = next((each for each in cluster.node_groups if each.name == asked.name), None)
    if current is None:
        problems.add(
            "node_groups",
            Reason.INVALID_REFERENCE,
            f"Cluster doesn't contain node group with name '{asked.name}'",
            known((each.name for each in cluster.node_groups), what="node groups"),
        )
        return asked
    checks.check_count(problems, "node_groups", asked.name, asked.count)
    leaving = _leaving(problems, current, asked)
    return NodeGroup(name=asked.name, count=asked.count, leaving=leaving)


def _leaving(problems: Problems, current: NodeGroup, asked: NodeGroup) -> list[str]:
    named = list(asked.leaving)
    if not named:
        return []
    where = f"node_groups[{asked.name}].leaving"
    fewer = current.count - asked.count
    if len(named) > fewer:
        problems.add(
            where,
            Reason.INVALID_DATA,
            f"Number of specific instances ({len(named)}) to delete can not be greater than "
            f"the count difference ({fewer} during scaling",
        )
    if len(set(named)) < len(named):
        problems.add(where, Reason.INVALID_DATA, "An instance is named more than once")
    by_id = [is_uuid(each) for each in named]
    if any(by_id) and not all(by_id):
        problems.add(
            where,
            Reason.INVALID_DATA,
            "You can only reference instances by Name or UUID, not both on the same request",
        )
    living = [each for each in current.instances if each.state in _LIVING]
    names = {each.name: each.name for each in living}
    names |= {each.provider_id: each.name for each in living if each.provider_id}
    names |= {each.id: each.name for each in living}
    unknown = [each for each in named if each not in names]
    if unknown:
        problems.add(
            where,
            Reason.INVALID_DATA,
            f"Node group '{asked.name}' has no instances {', '.join(unknown)}",
            known((each.name for each in living), what="instances"),
        )
    return [names[each] for each in named if each in names]


def _as_wanted(cluster: cluster_pb2.Cluster, groups: Sequence[NodeGroup]) -> cluster_pb2.Cluster:
    wanted = cluster_pb2.Cluster()
    wanted.CopyFrom(cluster)
    present = {each.name: each for each in wanted.node_groups}
    for group in groups:
        if group.name in present:
            present[group.name].count = group.count
            del present[group.name].leaving[:]
            present[group.name].leaving.extend(group.leaving)
        else:
            wanted.node_groups.append(group)
    return wanted
