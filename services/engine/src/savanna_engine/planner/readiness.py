"""When a cluster is of use although some of its nodes are missing yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna_engine.planner.nodes import least

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import Cluster, NodeGroup
    from savanna_engine.planner.answer import Answer
    from savanna_engine.planner.situation import Situation


def may_serve_early(cluster: Cluster) -> bool:
    """Say whether some group does with less than all of its nodes."""
    return any(_enough(each) < each.count for each in cluster.node_groups)


def tell(situation: Situation, cluster: Cluster, answer: Answer) -> None:
    """Say that a cluster serves once enough nodes of every group are ready and the grace of the
    others is over; ``cluster`` is what it is to become."""
    if not may_serve_early(cluster) or any(_leaves(each) for each in cluster.node_groups):
        return
    groups = cluster.node_groups
    if not situation.operation.is_completing:
        if any(len(_ready(each)) < _enough(each) for each in groups):
            return
        rest = _grace_left(situation, cluster)
        if rest > 0:
            answer.replan_after = min(rest, answer.replan_after or rest)
            return
        answer.facts.serves = True
    ready, wanted = sum(len(_ready(each)) for each in groups), sum(each.count for each in groups)
    if ready < wanted:
        told = f"Active with {ready} of {wanted} nodes; {_being_made(wanted - ready)}"
        if told != situation.cluster.status_description or answer.facts.serves:
            answer.facts.status_description = told


def _being_made(number: int) -> str:
    return "1 is being made" if number == 1 else f"{number} are being made"


def _enough(group: NodeGroup) -> int:
    policy = group.spec.node_policy
    return least(group) if policy.HasField("min_ready") else group.count


def _ready(group: NodeGroup) -> list[Instance]:
    return [each for each in group.instances if each.state == Instance.STATE_READY]


def _leaves(group: NodeGroup) -> bool:
    return any(each.state == Instance.STATE_LEAVING for each in group.instances)


def _grace_left(situation: Situation, cluster: Cluster) -> float:
    """Give the seconds for which the rest is still waited for."""
    begun, grace = 0.0, 0.0
    for group in cluster.node_groups:
        times = sorted(each.update_time.ToMilliseconds() / 1000 for each in _ready(group))
        if _enough(group):
            begun = max(begun, times[_enough(group) - 1])
        if len(times) < group.count:
            grace = max(grace, group.spec.node_policy.grace.ToMilliseconds() / 1000)
    return begun + grace - situation.now
