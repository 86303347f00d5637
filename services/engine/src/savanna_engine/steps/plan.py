"""The step that plans: facts from the conductor, steps from the plugin, decisions from the
planner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import facts_service_pb2 as facts_service
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1.plugin_service_pb2 import GetRequirementsRequest
from savanna_engine.planner import plan
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

    async def plan(self, work: Work) -> Done | Later:
        """Plan; waits for a plugin that does not answer."""
        operation_id = work.body.plan.operation_id
        request = facts_service.GetPlanFactsRequest(operation_id=operation_id)
        try:
            facts = await self._facts.GetPlanFacts(request, timeout=20)
            question = plan.question(facts)
            reply = await self._ask(facts, question)
            ports = await self._ports(facts, question)
        except (errors.Unavailable, errors.DeadlineExceeded) as error:
            # Nothing is wrong with the operation: it goes on when who is asked answers again.
            log.warning("plan_waits", operation_id=operation_id, error=str(error))
            return Later(growing(work.looks, first=0.5, most=5.0))
        answer = plan.decide(facts, self._limits, reply=reply, ports=ports)
        return Done(
            facts=answer.facts,
            spawn=answer.specs,
            conclusion=answer.conclusion,
            unwanted=answer.unwanted,
        )

    async def _ask(
        self, facts: facts_service.GetPlanFactsResponse, question: PlanRequest | None
    ) -> PlanResponse | Refusal | None:
        if question is None:
            return None
        try:
            return await self._plugins.plan(facts.cluster.plugin_name, question)
        except (errors.InvalidArgument, errors.FailedPrecondition) as error:
            return Refusal(str(error))

    async def _ports(
        self, facts: facts_service.GetPlanFactsResponse, question: PlanRequest | None
    ) -> Sequence[int]:
        if question is None or question.goal == Operation.GOAL_RUN_JOB:
            return ()
        if any(each.key == PREPARE for each in facts.tasks):
            return ()
        request = GetRequirementsRequest(cluster=question.cluster)
        return await self._plugins.ports(facts.cluster.plugin_name, request)
