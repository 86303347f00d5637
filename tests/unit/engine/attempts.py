"""Assignments, and steps whose end a test decides."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.engine.v1.step_pb2 import StepBody
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine.runner import Runner
from savanna_engine.steps.base import Done, Later

if TYPE_CHECKING:
    from savanna_engine.steps.base import Work


def assignment(
    task_id: str = "t1",
    epoch: int = 1,
    *,
    kind: str = "work",
    body: StepBody | None = None,
    timeout: float = 60.0,
    offer_ttl: float = 3.0,
    traceparent: str = "",
) -> stream.Assignment:
    made = stream.Assignment(
        attempt=stream.AttemptRef(task_id=task_id, epoch=epoch),
        operation_id="op1",
        key=f"key-of-{task_id}",
        kind=kind,
        pool="ssh",
        body=(body or StepBody(cluster_id="c1")).SerializeToString(),
        number=1,
        traceparent=traceparent,
        instance="c1-worker-0",
    )
    made.timeout.FromMicroseconds(int(timeout * 1e6))
    made.offer_ttl.FromMicroseconds(int(offer_ttl * 1e6))
    return made


def ref(task_id: str = "t1", epoch: int = 1) -> stream.AttemptRef:
    return stream.AttemptRef(task_id=task_id, epoch=epoch)


class Hands:
    """Does steps of kind "work", each until the test says so, and notes what happens."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.outcome: Done | Later | Exception = Done()
        self.may_end = asyncio.Event()
        self.may_stop = asyncio.Event()
        self.may_stop.set()
        self.runner = Runner({"work": self.work}, self.interrupt)

    async def work(self, work: Work) -> Done | Later:
        self.noted.append(f"begun {work.task_id}/{work.epoch}")
        await self.may_end.wait()
        self.noted.append(f"done {work.task_id}/{work.epoch}")
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def interrupt(self, work: Work) -> None:
        await self.may_stop.wait()
        self.noted.append(f"stopped {work.task_id}/{work.epoch}")


async def settle() -> None:
    """Let everything happen that can happen without time."""
    for _ in range(20):
        await asyncio.sleep(0)
