"""Plans of deletes: everything that the cloud may hold of a cluster goes.

No plugin is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Failure, Operation
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Answer, Limits

if TYPE_CHECKING:
    from savanna_engine.planner.situation import Situation


def decide(situation: Situation, limits: Limits) -> Answer:
    """Delete every instance that may exist, also those that were only planned."""
    answer = Answer()
    wanted = [
        specs.delete(situation.cluster, each, limits)
        for each in situation.instances.values()
        if each.state != Instance.STATE_DELETED or f"delete/{each.name}" in situation.tasks
    ]
    wanted.append(specs.remove(situation.cluster, [each.key for each in wanted]))
    answer.specs.extend(each for each in wanted if each.key not in situation.tasks)
    if all(situation.has_succeeded(each.key) for each in wanted):
        answer.conclusion = Conclusion(state=Operation.STATE_SUCCEEDED)
    failed = situation.failed_tasks
    busy = any(True for _ in situation.open_keys())
    if failed and not busy and not answer.specs:
        names = ", ".join(each.instance or "what the servers shared" for each in failed)
        failure = Failure()
        failure.CopyFrom(failed[0].failure)
        failure.reason = "RESIDUE"
        failure.message = (
            f"the cloud did not remove {names}: {failed[0].failure.message}; "
            "delete the cluster again when the cloud answers"
        )
        answer.conclusion = Conclusion(state=Operation.STATE_FAILED, failure=failure)
    return answer
