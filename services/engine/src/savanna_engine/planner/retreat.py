"""The way back: a launch that fails leaves nothing, a scale that fails leaves what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Failure, Operation
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Answer, Limits, Refusal
from savanna_engine.planner.situation import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna.plugin.v1.plugin_service_pb2 import PlanResponse
    from savanna_engine.planner.nodes import Nodes
    from savanna_engine.planner.situation import Situation


def is_due(situation: Situation, nodes: Nodes) -> bool:
    """Say whether the goal is given up: by wish, or because it can not be reached."""
    return situation.operation.cancel_requested or nodes.hopeless or has_begun(situation)


def has_begun(situation: Situation) -> bool:
    """Say whether the way back was taken by an earlier plan: it is never left again."""
    if specs.REMOVE in situation.tasks:
        return True
    return any(
        each.kind == "delete_server" and _is_sound(situation, each.instance)
        for each in situation.facts.tasks
    )


def _is_sound(situation: Situation, name: str) -> bool:
    """Say whether an instance is deleted though nothing is wrong with it and nobody let it go."""
    instance = situation.instances.get(name)
    if instance is None or instance.failure_message:
        return False
    if instance.state == Instance.STATE_DELETED:
        return situation.made_here(name)
    return instance.state < Instance.STATE_LEAVING


def decide(
    situation: Situation,
    nodes: Nodes,
    limits: Limits,
    reply: PlanResponse | Refusal | None,
) -> Answer:
    """Take everything back that the operation made, then end it."""
    answer = Answer()
    answer.facts.instances.extend(
        each for each in nodes.changed if each.state == Instance.STATE_FAILED
    )
    if situation.is_superseded:
        answer.conclusion = Conclusion(state=Operation.STATE_CANCELLED)
        return answer
    doomed = list(_to_delete(situation))
    removals = {f"delete/{each.name}" for each in doomed} | {specs.REMOVE}
    answer.unwanted.extend(each for each in situation.open_keys() if each not in removals)
    for instance in doomed:
        spec = specs.delete(situation.cluster, instance, limits)
        # The cloud is being asked for it: deleting waits until that request is over.
        busy = situation.is_running(f"create/{instance.name}")
        if not busy and spec.key not in situation.tasks:
            answer.specs.append(spec)
    left = [each for each in doomed if each.state != Instance.STATE_DELETED]
    failed = [each.name for each in left if situation.has_failed(f"delete/{each.name}")]
    if failed or situation.has_failed(specs.REMOVE):
        answer.conclusion = _end(situation, reply, residue=failed)
    elif not left and _shared_is_gone(situation, answer):
        answer.conclusion = _end(situation, reply, residue=())
    if answer.conclusion is None and isinstance(reply, Refusal):
        # Kept for the end: the plugin is not asked again on the way back.
        answer.facts.status_description = reply.message
    if answer.conclusion is not None:
        _put_counts_back(situation, answer)
    return answer


def _to_delete(situation: Situation) -> Iterator[Instance]:
    """Choose what goes: everything of a launch; of a scale, what failed or is not ready yet."""
    launch = situation.operation.goal == Operation.GOAL_LAUNCH
    for instance in situation.instances.values():
        new = situation.made_here(instance.name) or instance.state < Instance.STATE_CREATED
        if (
            launch
            or instance.state == Instance.STATE_FAILED
            or (new and instance.state < Instance.STATE_READY)
        ):
            yield instance


def _shared_is_gone(situation: Situation, answer: Answer) -> bool:
    if situation.operation.goal != Operation.GOAL_LAUNCH or specs.PREPARE not in situation.tasks:
        return True
    spec = specs.remove(situation.cluster)
    if situation.is_running(specs.PREPARE):
        return False
    if spec.key not in situation.tasks:
        answer.specs.append(spec)
    return situation.has_succeeded(spec.key)


def _end(
    situation: Situation, reply: PlanResponse | Refusal | None, residue: list[str] | tuple[()]
) -> Conclusion:
    if residue:
        names = ", ".join(residue)
        failure = Failure(
            reason="RESIDUE",
            message=(
                f"the cloud did not remove {names}; delete the cluster again, "
                "or remove these servers in the cloud by hand"
            ),
        )
        return Conclusion(state=Operation.STATE_FAILED, failure=failure)
    if situation.operation.cancel_requested:
        return Conclusion(state=Operation.STATE_CANCELLED)
    if isinstance(reply, Refusal):
        failure = Failure(reason="PLUGIN_REFUSED", message=reply.message)
        return Conclusion(state=Operation.STATE_FAILED, failure=failure)
    return Conclusion(state=Operation.STATE_FAILED, failure=evidence(situation))


def _put_counts_back(situation: Situation, answer: Answer) -> None:
    if situation.operation.goal != Operation.GOAL_SCALE:
        return
    for group in situation.cluster.node_groups:
        living = [
            each
            for each in group.instances
            if Instance.STATE_READY <= each.state < Instance.STATE_LEAVING
            or (not situation.made_here(each.name) and each.state < Instance.STATE_LEAVING)
        ]
        answer.facts.node_group_counts[group.name] = len(living)
