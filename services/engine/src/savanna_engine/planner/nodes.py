"""Which hosts a cluster should have: what is missing, what is too many, what is beyond repair."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import ON_FAILURE_CONTINUE, Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from savanna.cluster.v1.cluster_pb2 import NodeGroup
    from savanna_engine.planner.situation import Situation

_LEAVES_BY_DELETE = ("HOST_UNREACHABLE", "TIMED_OUT", "COMMAND_TIMED_OUT")
"""A host that is to go anyway and does not answer has nothing to hand over."""

_WORKS = (Instance.STATE_READY, Instance.STATE_LEAVING)

_NOBODY: Mapping[str, str] = MappingProxyType({})


@dataclass
class Nodes:
    """The cluster as it should become, and how that differs from what is stored."""

    cluster: Cluster
    """With declared instances, without failed and deleted ones."""

    changed: list[Instance] = field(default_factory=list)
    """Facts: declared, leaving and failed instances."""

    failed: list[Instance] = field(default_factory=list)
    """Instances, failed now or before, of which the cloud may still hold something."""

    outdated: list[str] = field(default_factory=list)
    """Keys of open steps of sound instances that speak of instances that were given up."""

    hopeless: bool = False
    """Whether trying further makes no sense: the operation is to be given up."""

    short: dict[str, int] = field(default_factory=dict)
    """Groups that do without nodes that were given up for good: how many these are."""


def survey(situation: Situation, slow: Mapping[str, str] = _NOBODY) -> Nodes:
    """Compare what is wanted with what is there; ``slow`` are instances to be given up for being
    slow, with a sentence each."""
    cluster = Cluster()
    cluster.CopyFrom(situation.cluster)
    nodes = Nodes(cluster)
    broken = _newly_failed(situation, nodes)
    broken |= {name: why for name, why in slow.items() if name not in broken}
    _spread(situation, broken, nodes)
    for group in cluster.node_groups:
        # Numbers are never used again, those of deleted instances neither.
        next_index = max((each.index for each in group.instances), default=-1) + 1
        is_spent = _sort_out(group, situation=situation, broken=broken, nodes=nodes)
        if is_spent:
            _do_without(group, situation=situation, nodes=nodes)
        _fit(group, situation=situation, nodes=nodes, next_index=next_index)
    return nodes


def _newly_failed(situation: Situation, nodes: Nodes) -> dict[str, str]:
    """Give instances that a given-up task condemns, with a sentence each.

    A newcomer is condemned by any task. One that leaves is condemned when it does not answer: it
    has nothing to hand over any more. One that worked before stays, whatever failed on it: then the
    operation is hopeless, not the instance.
    """
    found: dict[str, str] = {}
    for task in situation.failed_tasks:
        instance = situation.instances.get(task.instance)
        if instance is None or task.kind == "delete_server":
            nodes.hopeless = True
        elif instance.state >= Instance.STATE_FAILED:
            continue
        elif situation.is_new(instance) or _does_not_answer(instance, task.failure.reason):
            found.setdefault(task.instance, task.failure.message or task.key)
        else:
            nodes.hopeless = True
    return found


def _spread(situation: Situation, broken: dict[str, str], nodes: Nodes) -> None:
    """Condemn what was set up with a condemned instance too, and note steps that would be.

    Such a node was told of one that is gone, a worker of its master for example, and no step undoes
    that. Nodes that were there before the operation stay.
    """
    gone = [*broken, *(name for name, each in situation.instances.items() if each.failure_message)]
    while gone:
        name = gone.pop()
        for task in situation.told_of(name):
            instance = situation.instances.get(task.instance)
            if instance is None or instance.state >= Instance.STATE_FAILED:
                continue
            if task.state != Task.STATE_SUCCEEDED:
                nodes.outdated.append(task.key)
            elif situation.is_new(instance) and instance.name not in broken:
                broken[instance.name] = f"it was set up with {name}, which was given up"
                gone.append(instance.name)


def _does_not_answer(instance: Instance, reason: str) -> bool:
    return instance.state == Instance.STATE_LEAVING and reason in _LEAVES_BY_DELETE


def _sort_out(
    group: NodeGroup, *, situation: Situation, broken: Mapping[str, str], nodes: Nodes
) -> bool:
    """Take failed and deleted instances out of a group; gives whether no more may be
    replaced."""
    policy, replacements = group.spec.node_policy, _replacements(group, situation)
    kept = []
    failed = []
    for instance in group.instances:
        if instance.name in broken:
            instance.failure_message = broken[instance.name]
            instance.state = Instance.STATE_FAILED
            nodes.changed.append(_news(instance))
        if instance.failure_message and (
            instance.name in broken or situation.made_here(instance.name)
        ):
            failed.append(instance.name)
        if instance.state == Instance.STATE_FAILED:
            nodes.failed.append(_copy(instance))
        if instance.state < Instance.STATE_FAILED:
            kept.append(_copy(instance))
    del group.instances[:]
    group.instances.extend(kept)
    if policy.HasField("replace"):
        return len(failed) > policy.replace
    # One replacement for every wanted node: a second failure is hardly the host's.
    return not set(failed).isdisjoint(replacements)


def _do_without(group: NodeGroup, *, situation: Situation, nodes: Nodes) -> None:
    """Want no more nodes of a group than there are, if so few may do; otherwise all is in vain."""
    remaining = sum(each.state < Instance.STATE_LEAVING for each in group.instances)
    missing = group.count - remaining
    if missing <= 0:
        return
    policy = group.spec.node_policy
    may_go_on = situation.operation.on_failure == ON_FAILURE_CONTINUE
    if (may_go_on or policy.HasField("min_ready")) and remaining >= least(group):
        nodes.short[group.name] = missing
        group.count = remaining
    else:
        nodes.hopeless = True


def least(group: NodeGroup) -> int:
    """Give the number of nodes without which a group is of no use."""
    policy = group.spec.node_policy
    wanted = policy.min_ready if policy.HasField("min_ready") else 1
    return min(wanted, group.count)


def may_replace(group: NodeGroup, situation: Situation, name: str) -> bool:
    """Say whether an instance that is given up now would be replaced."""
    if not group.spec.node_policy.HasField("replace"):
        return name not in _replacements(group, situation)
    failed = [
        each for each in group.instances if each.failure_message and situation.made_here(each.name)
    ]
    return len(failed) < group.spec.node_policy.replace


def _replacements(group: NodeGroup, situation: Situation) -> list[str]:
    """List instances that this operation made in place of others: those beyond the number that it
    had to make."""
    made = [
        each
        for each in group.instances
        if situation.made_here(each.name) or each.state < Instance.STATE_CREATED
    ]
    names = {each.name for each in made}
    stayed = [
        each
        for each in group.instances
        if each.name not in names and each.state < Instance.STATE_LEAVING
    ]
    ordered = sorted(made, key=lambda each: each.index)
    return [each.name for each in ordered[max(0, group.count - len(stayed)) :]]


def _fit(group: NodeGroup, *, situation: Situation, nodes: Nodes, next_index: int) -> None:
    """Declare what is missing in a group; let go what is too many."""
    living = [each for each in group.instances if each.state < Instance.STATE_LEAVING]
    for instance in _surplus(group, living):
        instance.state = Instance.STATE_LEAVING
        nodes.changed.append(_news(instance))
    for number in range(next_index, next_index + group.count - len(living)):
        declared = declare(situation.cluster, group.name, number)
        group.instances.append(declared)
        nodes.changed.append(_copy(declared))


def _surplus(group: NodeGroup, living: list[Instance]) -> Iterator[Instance]:
    """Choose who leaves: those whom the user named, then the youngest."""
    named = set(group.leaving)
    order = sorted(living, key=lambda each: (each.name not in named, -each.index))
    yield from order[: max(0, len(living) - group.count)]


def declare(cluster: Cluster, group: str, index: int) -> Instance:
    """Name an instance; the same cluster, group and index always give the same one."""
    name = f"{cluster.name}-{group}-{index}".lower()
    return Instance(
        id=str(uuid.uuid5(uuid.UUID(cluster.id), name)),
        name=name,
        node_group=group,
        index=index,
        state=Instance.STATE_PLANNED,
    )


def _news(instance: Instance) -> Instance:
    return Instance(
        id=instance.id,
        name=instance.name,
        node_group=instance.node_group,
        index=instance.index,
        state=instance.state,
        failure_message=instance.failure_message,
    )


def _copy(instance: Instance) -> Instance:
    copy = Instance()
    copy.CopyFrom(instance)
    return copy


def working(cluster: Cluster) -> Cluster:
    """Give a cluster as jobs see it: only instances that work."""
    seen = Cluster()
    seen.CopyFrom(cluster)
    for group in seen.node_groups:
        kept = [_copy(each) for each in group.instances if each.state in _WORKS]
        del group.instances[:]
        group.instances.extend(kept)
    return seen
