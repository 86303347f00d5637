"""Plans of launches and scales: make, wait, configure, start, let go; replace what fails."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import readiness, replies, retreat, slow, specs
from savanna_engine.planner.answer import Answer, Limits, Refusal
from savanna_engine.planner.nodes import Nodes, survey
from savanna_engine.planner.situation import evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.operation.v1.operation_pb2 import TaskSpec
    from savanna_engine.planner.situation import Situation


def question(situation: Situation, limits: Limits) -> PlanRequest | None:
    """Say what to ask the plugin; None when the way leads back."""
    nodes = survey(situation, slow.look(situation, limits).slow)
    if retreat.is_due(situation, nodes):
        return None
    return PlanRequest(goal=situation.operation.goal, cluster=nodes.cluster)


def decide(
    situation: Situation, limits: Limits, reply: PlanResponse | Refusal | None, ports: Sequence[int]
) -> Answer:
    """Turn the plugin's steps into tasks, or lead back."""
    slowness = slow.look(situation, limits)
    nodes = survey(situation, slowness.slow)
    if retreat.is_due(situation, nodes):
        return retreat.decide(situation, nodes, limits, None)
    reply = replies.checked(situation, nodes.cluster, reply)
    if not isinstance(reply, PlanResponse):
        return retreat.decide(situation, nodes, limits, reply)
    answer = Answer()
    answer.facts.instances.extend(nodes.changed)
    _drop_failed(situation, nodes, limits, answer)
    wanted = _infrastructure(situation, nodes, limits, ports)
    wanted += _steps(situation, nodes, limits, reply, wanted)
    wanted += _leavers(situation, nodes, limits, reply)
    answer.specs.extend(each for each in wanted if each.key not in situation.tasks)
    is_done = all(situation.has_succeeded(each.key) for each in wanted)
    if is_done and not nodes.failed and not situation.is_busy:
        _conclude(situation, nodes, reply, answer)
        return answer
    answer.replan_after = slowness.look_after
    if slowness.look_after is None and any(each.kind == "create_server" for each in answer.specs):
        answer.replan_after = limits.slow_least
    readiness.tell(situation, nodes.cluster, answer)
    if answer.facts.serves and reply.HasField("info"):
        answer.facts.info.CopyFrom(reply.info)
    return answer


def _drop_failed(situation: Situation, nodes: Nodes, limits: Limits, answer: Answer) -> None:
    """Remove what the cloud holds of given-up instances, and stop what is about them or was told
    of them."""
    for instance in nodes.failed:
        spec = situation.again(specs.delete(situation.cluster, instance, limits))
        if spec.key not in situation.tasks:
            answer.specs.append(spec)
        open_tasks = situation.open_tasks(instance.name)
        answer.unwanted.extend(each.key for each in open_tasks if each.key != spec.key)
    answer.unwanted.extend(nodes.outdated)


def _infrastructure(
    situation: Situation, nodes: Nodes, limits: Limits, ports: Sequence[int]
) -> list[TaskSpec]:
    cluster = nodes.cluster
    wanted: list[TaskSpec] = []
    for group in cluster.node_groups:
        for instance in group.instances:
            created = instance.state >= Instance.STATE_CREATED
            made_here = situation.made_here(instance.name) or not created
            if made_here:
                wanted.append(specs.create(cluster, group, instance, situation.facts.deployment_id))
            if made_here or instance.state < Instance.STATE_REACHABLE:
                needs = [f"create/{instance.name}"] if made_here else []
                wanted.append(specs.wait(cluster, instance, limits, needs))
    if any(each.kind == "create_server" for each in wanted):
        wanted.insert(0, specs.prepare(cluster, ports))
    return wanted


def _steps(
    situation: Situation,
    nodes: Nodes,
    limits: Limits,
    reply: PlanResponse,
    infrastructure: Sequence[TaskSpec],
) -> list[TaskSpec]:
    awaits = {each.instance: each.key for each in infrastructure if each.kind == "await_server"}
    # One that runs is asked for anew only when it has surely stopped.
    dropped = {each for each in nodes.outdated if not situation.is_running(each)}
    keys = {each.key: situation.current_key(each.key, dropped) for each in reply.steps}
    # Where less than all nodes may do, each one that is ready may be the one that was missing.
    wakes = readiness.may_serve_early(nodes.cluster)
    found = []
    for step in reply.steps:
        needs = [keys[each] for each in step.needs]
        needs += [awaits[name] for name in replies.mentioned(step) if name in awaits]
        unique = list(dict.fromkeys(needs))
        key = keys[step.key]
        spec = specs.script(nodes.cluster, step, limits, key=key, needs=unique)
        spec.replan = wakes and step.reaches == Instance.STATE_READY
        found.append(spec)
    return found


def _leavers(
    situation: Situation, nodes: Nodes, limits: Limits, reply: PlanResponse
) -> list[TaskSpec]:
    """Delete what leaves, each after all steps that speak of it."""
    about: dict[str, list[str]] = defaultdict(list)
    for step in reply.steps:
        for name in replies.mentioned(step):
            about[name].append(situation.current_key(step.key))
    return [
        situation.again(
            specs.delete(nodes.cluster, each, limits, list(dict.fromkeys(about[each.name])))
        )
        for group in nodes.cluster.node_groups
        for each in group.instances
        if each.state == Instance.STATE_LEAVING
    ]


def _conclude(situation: Situation, nodes: Nodes, reply: PlanResponse, answer: Answer) -> None:
    answer.conclusion = Conclusion(state=Operation.STATE_SUCCEEDED)
    answer.facts.final_state = Cluster.STATE_ACTIVE
    # What was told of troubles on the way is over.
    answer.facts.status_description = _what_is_missing(situation, nodes)
    for group in nodes.cluster.node_groups:
        if group.name in nodes.short:
            answer.facts.node_group_counts[group.name] = group.count
    if reply.HasField("info"):
        answer.facts.info.CopyFrom(reply.info)
    # A plugin need not have a step for every node: one that is left alone is ready when all are.
    for group in nodes.cluster.node_groups:
        for each in group.instances:
            if each.state < Instance.STATE_READY:
                answer.facts.instances.add(
                    id=each.id,
                    name=each.name,
                    node_group=each.node_group,
                    index=each.index,
                    state=Instance.STATE_READY,
                )


def _what_is_missing(situation: Situation, nodes: Nodes) -> str:
    """Say, in a sentence for the user, what a cluster does without; empty when it has all."""
    missing = sum(nodes.short.values())
    if not missing:
        return ""
    there = sum(group.count for group in nodes.cluster.node_groups)
    return (
        f"Active with {there} of {there + missing} nodes; the others were given up: "
        f"{evidence(situation).message}"
    )
