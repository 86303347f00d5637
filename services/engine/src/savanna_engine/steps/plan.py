"""The step that plans: facts from the conductor, steps from the plugin, decisions from the
planner."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.conductor.v1 import facts_service_pb2 as facts_service
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1.plugin_service_pb2 import GetRequirementsRequest
from savanna_engine.planner import plan, replies
from savanna_engine.planner.answer import Limits, Refusal
from savanna_engine.planner.specs import PREPARE
from savanna_engine.steps.base import Done, Later, Work, growing
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.conductor.v1 import facts_service_pb2_grpc
    from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
    from savanna_engine.plugins import Plugins

log = logs.get_logger(__name__)
_WAITS = "waits for the plugin"
_MOST_BREAKS = 10
"""A plugin that breaks so many times in a row over one operation will not stop doing so."""

_REMEMBERED = 1000
_AWAY = (errors.Unavailable, errors.DeadlineExceeded, errors.Cancelled)


class PlanStep:
    """Asks what is to be done next for an operation."""

    def __init__(
        self,
        facts: facts_service_pb2_grpc.FactsServiceAsyncStub,
        plugins: Plugins,
        limits: Limits,
    ) -> None:
        self._facts = facts
        self._plugins = plugins
        self._limits = limits
        self._breaks: OrderedDict[str, int] = OrderedDict()
        """Operations over which a plugin broke, with the number of times in a row."""

    async def plan(self, work: Work) -> Done | Later:
        """Plan; waits for a plugin that does not answer, and asks one that breaks again."""
        operation_id = work.body.plan.operation_id
        request = facts_service.GetPlanFactsRequest(operation_id=operation_id)
        facts = await self._facts.GetPlanFacts(request, timeout=20)
        # Plans of thousands of steps take long: others have their turn meanwhile.
        question = await asyncio.to_thread(plan.question, facts, self._limits)
        reply: PlanResponse | Refusal | None = None
        ports: Sequence[int] = ()
        try:
            if question is not None:
                reply = await self._plugins.plan(facts.cluster.plugin_name, question)
                ports = await self._ports(facts, question)
        except errors.SavannaError as error:
            refusal = self._refusal(facts, error)
            if refusal is None:
                # Nothing is wrong with the operation: it goes on when the plugin answers again.
                log.warning("plan_waits", operation_id=operation_id, error=str(error))
                return Later(growing(work.looks, first=0.5, most=5.0), _waiting(work, facts, error))
            reply = refusal
        self._breaks.pop(operation_id, None)
        answer = await asyncio.to_thread(plan.decide, facts, self._limits, reply=reply, ports=ports)
        told = facts.cluster.status_description.startswith(_WAITS)
        if told and not answer.facts.HasField("status_description"):
            answer.facts.status_description = ""
        return Done(
            facts=answer.facts,
            spawn=answer.specs,
            conclusion=answer.conclusion,
            unwanted=answer.unwanted,
            replan_after=answer.replan_after,
        )

    def _refusal(
        self, facts: facts_service.GetPlanFactsResponse, error: errors.SavannaError
    ) -> Refusal | None:
        """Say what an error means for an operation; None when the plugin is asked again."""
        name, operation_id = facts.cluster.plugin_name, facts.operation.id
        if isinstance(error, errors.InvalidArgument | errors.FailedPrecondition):
            return Refusal(str(error))
        if isinstance(error, errors.ResourceExhausted):
            return replies.faulty(name, f"no message holds it ({error})")
        if isinstance(error, _AWAY):
            return None
        breaks = self._breaks.pop(operation_id, 0) + 1
        self._breaks[operation_id] = breaks
        if len(self._breaks) > _REMEMBERED:
            self._breaks.popitem(last=False)
        if breaks < _MOST_BREAKS:
            return None
        return replies.faulty(name, f"it broke {breaks} times in a row ({error})")

    async def _ports(
        self, facts: facts_service.GetPlanFactsResponse, question: PlanRequest
    ) -> Sequence[int]:
        if question.goal == Operation.GOAL_RUN_JOB:
            return ()
        if any(each.key == PREPARE for each in facts.tasks):
            return ()
        request = GetRequirementsRequest(cluster=question.cluster)
        return await self._plugins.ports(facts.cluster.plugin_name, request)


def _waiting(
    work: Work, facts: facts_service.GetPlanFactsResponse, error: errors.SavannaError
) -> Facts | None:
    """Tell users of a cluster, once, what keeps it waiting; a job is no change of its cluster."""
    if work.looks or facts.operation.goal == Operation.GOAL_RUN_JOB:
        return None
    return Facts(status_description=f"{_WAITS} '{facts.cluster.plugin_name}': {error}")
