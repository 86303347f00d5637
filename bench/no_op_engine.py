"""An engine whose steps do nothing: sessions, leases, stream and attempts are those of the real
one.

It notes when each attempt began and ended, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import os
import time
from random import Random
from typing import TYPE_CHECKING

from bench import workloads
from savanna.conductor.v1 import execution_service_pb2_grpc, facts_service_pb2_grpc
from savanna.conductor.v1.facts_service_pb2 import GetPlanFactsRequest
from savanna.operation.v1.operation_pb2 import Failure, Operation, Task
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.runner import Runner
from savanna_engine.schedulers import Schedulers
from savanna_engine.settings import EngineSettings
from savanna_engine.steps.base import Done, StepFailed, Work
from savanna_kit import serving
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from typing import TextIO

NOTES = "BENCH_NOTES"
"""Variable that names the file for notes of attempts."""


class NoOpSteps:
    """Every kind of step of the benchmark."""

    def __init__(self, facts: facts_service_pb2_grpc.FactsServiceAsyncStub, notes: TextIO) -> None:
        self._facts = facts
        self._notes = notes

    async def plan(self, work: Work) -> Done:
        """Ask for the workload; then say whether it is done, or take it back."""
        request = GetPlanFactsRequest(operation_id=work.body.plan.operation_id)
        facts = await self._facts.GetPlanFacts(request, timeout=20)
        asked = [each for each in facts.tasks if each.kind != "plan"]
        if not asked:
            graph = workloads.graph(facts.cluster.name)
            return Done(spawn=await asyncio.to_thread(workloads.specs, graph, work.body))
        if any(each.state in (Task.STATE_PENDING, Task.STATE_ASSIGNED) for each in asked):
            return Done()
        failed = any(each.state == Task.STATE_FAILED for each in asked)
        if failed and not any(each.key.startswith("undo/") for each in asked):
            return Done(spawn=workloads.specs(workloads.undo(facts), work.body))
        if failed:
            failure = Failure(reason="TAKEN_BACK", message="a node failed; all was taken back")
            return Done(conclusion=Conclusion(state=Operation.STATE_FAILED, failure=failure))
        return Done(conclusion=Conclusion(state=Operation.STATE_SUCCEEDED))

    async def nothing(self, work: Work) -> Done:
        """Do nothing."""
        begun = time.monotonic()
        self._note(work, begun)
        return Done()

    async def tick(self, work: Work) -> Done:
        """Do nothing for a while."""
        begun = time.monotonic()
        await asyncio.sleep(workloads.TICK_SECONDS)
        self._note(work, begun)
        return Done()

    async def fail(self, work: Work) -> Done:
        """Fail for good."""
        self._note(work, time.monotonic())
        raise StepFailed(Failure(reason="BROKEN", message="this node is broken", task_key=work.key))

    def _note(self, work: Work, begun: float) -> None:
        self._notes.write(f"{work.operation_id} {work.key} {begun} {time.monotonic()}\n")


async def _nothing_to_stop(work: Work) -> None:
    del work


def build(given: EngineSettings) -> serving.Parts:
    """Build the engine."""
    conductor = connect(given.conductor)
    # A line at a time: whoever reads sees all that has ended.
    notes = open(os.environ[NOTES], "w", buffering=1)  # noqa: SIM115 - open as long as the process
    steps = NoOpSteps(facts_service_pb2_grpc.FactsServiceStub(conductor), notes)
    kinds = {
        "plan": steps.plan,
        workloads.NOTHING: steps.nothing,
        workloads.TICK: steps.tick,
        workloads.FAILING: steps.fail,
    }
    schedulers = Schedulers(
        execution_service_pb2_grpc.ExecutionServiceStub(conductor),
        Runner(kinds, _nothing_to_stop),
        given,
        Random(),
    )
    return serving.Parts(
        name="engine",
        listen=given.listen,
        drain_seconds=given.drain_seconds,
        resources=[conductor],
        loops=[schedulers.run],
        drains=[schedulers.drain],
    )


if __name__ == "__main__":
    serving.main(EngineSettings, build)
