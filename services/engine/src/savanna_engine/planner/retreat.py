"""The way back: a launch that fails leaves nothing, a scale that fails leaves what was there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance, Wish
from savanna.operation.v1.operation_pb2 import ON_FAILURE_KEEP, Failure, Operation
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Answer, Limits, Refusal
from savanna_engine.planner.situation import evidence, too_late

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from savanna.conductor.v1.facts_service_pb2 import TaskSummary
    from savanna_engine.planner.nodes import Nodes
    from savanna_engine.planner.situation import Situation


_WORDS = {Operation.GOAL_LAUNCH: "launch", Operation.GOAL_SCALE: "scale"}


def is_due(situation: Situation, nodes: Nodes) -> bool:
    """Say whether the goal is given up: by wish, or because it can not be reached."""
    operation = situation.operation
    by_wish = operation.cancel_requested or bool(operation.rollback_of)
    return by_wish or nodes.hopeless or has_begun(situation)


def keeps(situation: Situation) -> bool:
    """Say whether what was made is left as it is when the goal is given up; a wish to end it leads
    back nevertheless."""
    operation = situation.operation
    by_wish = situation.is_cancelled or bool(operation.rollback_of)
    return operation.on_failure == ON_FAILURE_KEEP and not by_wish


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


def decide(situation: Situation, nodes: Nodes, limits: Limits, refusal: Refusal | None) -> Answer:
    """Take everything back that the operation made, then end it.

    It ends only when engines have let go of all that it ran.
    """
    if keeps(situation):
        return _keep(situation, nodes, refusal)
    answer = Answer()
    answer.facts.instances.extend(
        each for each in nodes.changed if each.state == Instance.STATE_FAILED
    )
    left = [each for each in _to_delete(situation) if each.state != Instance.STATE_DELETED]
    if situation.is_superseded:
        # The delete that waits for this one finds and removes all there is.
        answer.unwanted.extend(each.key for each in situation.open_tasks())
        if not situation.is_busy:
            answer.conclusion = Conclusion(state=Operation.STATE_CANCELLED)
        return answer
    _stop_the_rest(situation, {each.name for each in left}, answer)
    residue = _remove(situation, left, limits, answer)
    is_over = not situation.is_busy and not answer.specs and len(residue) == len(left)
    if is_over and (residue or _shared_is_gone(situation, answer)):
        answer.conclusion = _end(situation, nodes, refusal, residue)
        _mark(residue, situation, answer)
        answer.facts.staying.extend(_staying(situation))
        _put_counts_back(situation, answer, residue)
        if situation.operation.is_completing:
            answer.facts.final_state = Cluster.STATE_ACTIVE
            answer.facts.status_description = ""
        _tell_of_wish(situation, answer)
        _tell_of_leavers(situation, answer)
    if answer.conclusion is None and refusal is not None:
        # Kept for the end: the plugin is not asked again on the way back.
        answer.facts.status_description = refusal.message
    return answer


def _leaves_nothing(situation: Situation) -> bool:
    """Say whether the way leads back to nothing.

    That of a launch does, unless its cluster is of use already.
    """
    operation = situation.operation
    return operation.goal == Operation.GOAL_LAUNCH and not operation.is_completing


def _keep(situation: Situation, nodes: Nodes, refusal: Refusal | None) -> Answer:
    """Stop what is under way, and end without touching a host."""
    answer = Answer()
    answer.facts.instances.extend(
        each for each in nodes.changed if each.state == Instance.STATE_FAILED
    )
    _stop_the_rest(situation, set(), answer)
    if situation.is_busy:
        if refusal is not None:
            answer.facts.status_description = refusal.message
        return answer
    failure = Failure()
    failure.CopyFrom(_cause(situation, nodes, refusal))
    groups = nodes.cluster.node_groups
    ready = sum(each.state == Instance.STATE_READY for group in groups for each in group.instances)
    failure.message += (
        f"; {ready} of {sum(group.count for group in groups)} nodes are ready, and everything was "
        "left as it is: look at it, then retry the operation or roll it back"
    )
    answer.conclusion = Conclusion(state=Operation.STATE_FAILED, failure=failure)
    if situation.operation.is_completing:
        answer.facts.final_state = Cluster.STATE_ACTIVE
    return answer


def _to_delete(situation: Situation) -> Iterator[Instance]:
    """Choose what goes: everything of a launch; of a scale, what failed, is not ready yet, or was
    not there before."""
    all_go = _leaves_nothing(situation)
    new = _new_ones(situation)
    for instance in situation.instances.values():
        never_worked = instance.state < Instance.STATE_READY
        is_bad = never_worked or instance.state == Instance.STATE_FAILED
        if all_go or is_bad or instance.name in new:
            yield instance


def _new_ones(situation: Situation) -> set[str]:
    """Name the nodes that a scale made: by this operation, or by the one that it takes back, of
    which only the counts before are known. What completes a cluster that serves stays."""
    operation = situation.operation
    if operation.is_completing or operation.goal != Operation.GOAL_SCALE:
        return set()
    new = {name for name in situation.instances if situation.made_here(name)}
    if not operation.rollback_of:
        return new
    before = Wish.FromString(operation.detail).counts_before
    for group in situation.cluster.node_groups:
        ready = [each for each in group.instances if each.state == Instance.STATE_READY]
        ready.sort(key=lambda each: each.index)
        new |= {each.name for each in ready[before.get(group.name, 0) :]}
    return new


def _stop_the_rest(situation: Situation, doomed: set[str], answer: Answer) -> None:
    """Stop all that does not lead back; a delete that runs is better let to its end."""
    for task in situation.open_tasks():
        is_delete = task.kind == "delete_server"
        leads_back = task.kind == "remove_cluster" or (
            is_delete and (task.instance in doomed or situation.is_running(task.key))
        )
        if not leads_back:
            answer.unwanted.append(task.key)


def _remove(
    situation: Situation, left: Sequence[Instance], limits: Limits, answer: Answer
) -> list[str]:
    """Delete what is left; gives the names of those that the cloud does not remove."""
    residue = []
    for instance in left:
        spec = situation.again(specs.delete(situation.cluster, instance, limits))
        if situation.has_failed(spec.key):
            residue.append(instance.name)
        # The cloud is being asked for it, or may be before this plan is heard of: deleting waits
        # until that is over.
        elif spec.key not in situation.tasks and not situation.is_open(f"create/{instance.name}"):
            answer.specs.append(spec)
    return residue


def _shared_is_gone(situation: Situation, answer: Answer) -> bool:
    """Say whether nothing that the servers shared is left, or nothing more can be done about it."""
    operation = situation.operation
    # What goes on with another operation's hosts has also what these share.
    may_exist = specs.PREPARE in situation.tasks or operation.retry_of or operation.rollback_of
    if not _leaves_nothing(situation) or not may_exist:
        return True
    spec = situation.again(specs.remove(situation.cluster))
    if spec.key not in situation.tasks:
        answer.specs.append(spec)
    return situation.has_succeeded(spec.key) or situation.has_failed(spec.key)


def _end(
    situation: Situation, nodes: Nodes, refusal: Refusal | None, residue: list[str]
) -> Conclusion:
    if situation.has_failed(situation.current_key(specs.REMOVE)):
        residue = ["what the servers shared"]
    cancelled = situation.is_cancelled
    late = situation.operation.deadline_exceeded
    rolled_back = bool(situation.operation.rollback_of) and not late
    if not residue and (cancelled or rolled_back):
        state = Operation.STATE_CANCELLED if cancelled else Operation.STATE_SUCCEEDED
        return Conclusion(state=state)
    failure = Failure(message="rolled back by wish of the user")
    if cancelled:
        failure.message = "cancelled by wish of the user"
    elif not rolled_back:
        failure.CopyFrom(_cause(situation, nodes, refusal))
    if residue:
        failure.reason = "RESIDUE"
        failure.message += (
            f"; then the cloud did not remove {', '.join(residue)}: delete the cluster when the "
            "cloud answers again, or remove this in the cloud by hand"
        )
    return Conclusion(state=Operation.STATE_FAILED, failure=failure)


def _mark(residue: Sequence[str], situation: Situation, answer: Answer) -> None:
    """Note hosts that the cloud did not remove as given up: who goes on later begins with them."""
    for name in residue:
        instance = situation.instances.get(name)
        if instance is not None and not instance.failure_message:
            answer.facts.instances.add(
                name=name,
                state=Instance.STATE_FAILED,
                failure_message="the cloud did not remove it",
            )


def _tell_of_wish(situation: Situation, answer: Answer) -> None:
    """Say why a cluster that nobody finds fault with is of no use; a scale leaves one of use."""
    conclusion, operation = answer.conclusion, situation.operation
    if conclusion is None or conclusion.HasField("failure"):
        return
    launch = _leaves_nothing(situation)
    if operation.rollback_of:
        answer.facts.final_state = Cluster.STATE_ERROR if launch else Cluster.STATE_ACTIVE
        answer.facts.status_description = ""
    if launch and conclusion.state in (Operation.STATE_SUCCEEDED, Operation.STATE_CANCELLED):
        word = "rolled back" if operation.rollback_of else "cancelled"
        answer.facts.status_description = f"Creating cluster was {word} by wish of the user"


def _cause(situation: Situation, nodes: Nodes, refusal: Refusal | None) -> Failure:
    if situation.operation.deadline_exceeded:
        return too_late(_WORDS.get(situation.operation.goal, "operation"))
    if refusal is not None:
        return Failure(reason=refusal.reason, message=refusal.message)
    told = situation.cluster.status_description
    if told and not nodes.hopeless:
        # Neither a wish nor a failure leads back: the plugin said that it can not go on.
        return Failure(reason="PLUGIN_REFUSED", message=told)
    return evidence(situation)


def _leavers(situation: Situation) -> list[Instance]:
    """List instances that this operation let go, and that are not gone."""
    begin = situation.operation.create_time.ToMicroseconds()
    return [
        each
        for each in situation.instances.values()
        if each.state == Instance.STATE_LEAVING and each.update_time.ToMicroseconds() >= begin
    ]


def _staying(situation: Situation) -> list[str]:
    """Name instances that were let go and about which nothing was done yet: they stay."""
    return [
        each.name
        for each in _leavers(situation)
        if not any(task.begun for task in _leave_taking(situation, each.name))
    ]


def _leave_taking(situation: Situation, name: str) -> Iterator[TaskSummary]:
    """List everything that was to be done about an instance that leaves, on whichever host."""
    for task in situation.tasks_about(name):
        yield task
        if task.kind == "delete_server":
            yield from (situation.tasks[need] for need in task.needs if need in situation.tasks)


def _tell_of_leavers(situation: Situation, answer: Answer) -> None:
    """Say which instances are neither in use nor gone: what they had to hand over was begun."""
    staying = set(answer.facts.staying)
    names = sorted(each.name for each in _leavers(situation) if each.name not in staying)
    if not names or _leaves_nothing(situation) or answer.conclusion is None:
        return
    told = (
        f"{', '.join(names)} began to hand over what it has and takes no more work: scale the "
        "cluster again to let it go"
    )
    if answer.conclusion.HasField("failure"):
        answer.conclusion.failure.message += f"; {told}"
    else:
        answer.facts.status_description = told


def _put_counts_back(situation: Situation, answer: Answer, residue: Sequence[str]) -> None:
    if _leaves_nothing(situation):
        return
    staying = set(answer.facts.staying)
    for group in situation.cluster.node_groups:
        living = [
            each
            for each in group.instances
            if (each.state == Instance.STATE_READY and each.name not in residue)
            or each.name in staying
        ]
        answer.facts.node_group_counts[group.name] = len(living)
