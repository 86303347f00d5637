"""Plans of deletes: everything that the cloud may hold of a cluster goes.

No plugin is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Failure, Operation
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Answer, Limits
from savanna_engine.planner.situation import too_late

if TYPE_CHECKING:
    from savanna_engine.planner.situation import Situation


def decide(situation: Situation, limits: Limits) -> Answer:
    """Delete every instance that may exist, also those that were only planned."""
    answer = Answer()
    if situation.operation.deadline_exceeded:
        return _give_up(situation)
    deletes = [
        situation.again(specs.delete(situation.cluster, each, limits))
        for each in situation.instances.values()
        if each.state != Instance.STATE_DELETED or f"delete/{each.name}" in situation.tasks
    ]
    wanted = list(deletes)
    if not any(situation.has_failed(each.key) for each in deletes):
        needs = [each.key for each in deletes]
        wanted.append(situation.again(specs.remove(situation.cluster, needs)))
    answer.specs.extend(each for each in wanted if each.key not in situation.tasks)
    if all(situation.has_succeeded(each.key) for each in wanted):
        answer.conclusion = Conclusion(state=Operation.STATE_SUCCEEDED)
    elif situation.failed_tasks and not answer.specs and not any(situation.open_tasks()):
        answer.conclusion = _residue(situation)
        answer.facts.final_state = Cluster.STATE_ERROR
    return answer


def _give_up(situation: Situation) -> Answer:
    """Stop, and end when engines have let go; a user may retry it."""
    answer = Answer()
    answer.unwanted.extend(each.key for each in situation.open_tasks())
    if not situation.is_busy:
        answer.conclusion = Conclusion(state=Operation.STATE_FAILED, failure=too_late("delete"))
        answer.facts.final_state = Cluster.STATE_ERROR
    return answer


def _residue(situation: Situation) -> Conclusion:
    failed = situation.failed_tasks
    names = ", ".join(each.instance or "what the servers shared" for each in failed)
    failure = Failure()
    failure.CopyFrom(failed[0].failure)
    failure.reason = "RESIDUE"
    failure.message = (
        f"the cloud did not remove {names}: {failed[0].failure.message}; "
        "delete the cluster again when the cloud answers"
    )
    return Conclusion(state=Operation.STATE_FAILED, failure=failure)
