"""The engine's steps between a real conductor's stub and a cloud and hosts in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import facts_service_pb2_grpc
from savanna_engine.access import Access
from savanna_engine.runner import Runner
from savanna_engine.steps.scripts import ScriptSteps
from savanna_engine.steps.servers import ServerSteps
from savanna_kit import serving
from savanna_kit.channels import connect
from savanna_kit.executors import BoundedExecutor
from tests.unit.engine.attempts import assignment
from tests.unit.engine.neighbours import Conductor, MemoryCloud, MemoryRemote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from savanna.conductor.v1.facts_service_pb2_grpc import FactsServiceAsyncStub
    from savanna.engine.v1.step_pb2 import StepBody
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream


class Engine:
    """Runs steps as the engine does."""

    def __init__(self, conductor: Conductor, facts: FactsServiceAsyncStub) -> None:
        self.conductor = conductor
        self.facts = facts
        self.cloud = MemoryCloud()
        self.remote = MemoryRemote()
        self.threads = [BoundedExecutor(name, 2) for name in ("cloud", "ssh", "stop")]
        cloud_threads, ssh_threads, stop_threads = self.threads
        access = Access(facts, self.remote)
        servers = ServerSteps(
            self.cloud,
            self.remote,
            access,
            cloud_threads=cloud_threads,
            ssh_threads=ssh_threads,
        )
        scripts = ScriptSteps(
            self.remote, access, facts, threads=ssh_threads, stop_threads=stop_threads
        )
        kinds = ("prepare_cluster", "remove_cluster", "create_server", "await_server")
        self.runner = Runner(
            {
                **{kind: getattr(servers, kind) for kind in (*kinds, "delete_server")},
                **{
                    kind: getattr(scripts, kind)
                    for kind in ("run_script", "start_job", "await_job", "stop_job")
                },
            },
            scripts.interrupt,
        )

    async def do(self, body: StepBody, *, epoch: int = 1, traceparent: str = "") -> stream.Result:
        """Run one attempt of the step that a body describes."""
        return await self.runner.attempt(self.offer(body, epoch=epoch, traceparent=traceparent))

    def offer(
        self, body: StepBody, *, task_id: str = "t1", epoch: int = 1, traceparent: str = ""
    ) -> stream.Assignment:
        kind = body.WhichOneof("step") or ""
        return assignment(task_id, epoch, kind=kind, body=body, traceparent=traceparent)

    def close(self) -> None:
        self.cloud.may_answer.set()
        self.remote.may_begin.set()
        self.remote.may_end.set()
        for each in self.threads:
            each.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    conductor = Conductor()
    address = f"unix:{tmp_path}/conductor"
    parts = serving.Parts(
        name="conductor",
        listen=address,
        drain_seconds=0.1,
        served=[
            serving.Served(
                "savanna.conductor.v1.FactsService",
                facts_service_pb2_grpc.add_FactsServiceServicer_to_server,
                conductor,
            )
        ],
    )
    async with serving.running([parts]), connect(address) as channel:
        made = Engine(conductor, facts_service_pb2_grpc.FactsServiceStub(channel))
        yield made
        made.close()
