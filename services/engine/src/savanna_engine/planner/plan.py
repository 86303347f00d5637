"""The planner's front: which question to put to the plugin, and what follows from its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Operation
from savanna_engine.planner import grow, remove, work
from savanna_engine.planner.situation import Situation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.conductor.v1 import facts_service_pb2 as facts_service
    from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
    from savanna_engine.planner.answer import Answer, Limits, Refusal


def question(facts: facts_service.GetPlanFactsResponse, limits: Limits) -> PlanRequest | None:
    """Give what the plugin is to be asked; None when it is not."""
    situation = Situation(facts)
    if situation.operation.goal == Operation.GOAL_DELETE:
        return None
    if situation.operation.goal == Operation.GOAL_RUN_JOB:
        return work.question(situation)
    return grow.question(situation, limits)


def decide(
    facts: facts_service.GetPlanFactsResponse,
    limits: Limits,
    *,
    reply: PlanResponse | Refusal | None,
    ports: Sequence[int] = (),
) -> Answer:
    """Give tasks, facts and perhaps the end of the operation.

    ``reply`` is the plugin's answer to ``question``, None when there was no question. ``ports`` are
    the TCP ports that the plugin wants open.
    """
    answer = _answer(Situation(facts), limits, reply, ports)
    for spec in answer.specs:
        if spec.pool == "cloud":
            spec.limits[f"cloud/{limits.cloud}"] = limits.cloud_calls
        elif spec.instance:
            spec.limits[f"host/{facts.cluster.id}/{spec.instance}"] = limits.host_steps
    return answer


def _answer(
    situation: Situation,
    limits: Limits,
    reply: PlanResponse | Refusal | None,
    ports: Sequence[int],
) -> Answer:
    if situation.operation.goal == Operation.GOAL_DELETE:
        return remove.decide(situation, limits)
    if situation.operation.goal == Operation.GOAL_RUN_JOB:
        return work.decide(situation, limits, reply)
    return grow.decide(situation, limits, reply, ports)
