"""An engine over a real stream that does only what a test says."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit.channels import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    import grpc

Operation = operation_pb2.Operation
_WAIT = 5.0


class ScriptedEngine:
    """One session; it beats while it is connected, and keeps what it was told."""

    def __init__(self, name: str = "engine-1") -> None:
        self.name = name
        self.session_id = str(uuid.uuid4())
        self.welcome = stream.Welcome()
        self.running: dict[str, stream.Assignment] = {}
        self.runs: list[str] = []
        self.acknowledged: set[tuple[str, int]] = set()
        self.drained = False
        self._news = asyncio.Condition()
        self._call: grpc.aio.StreamStreamCall[stream.ConnectRequest, stream.ConnectResponse]

    @asynccontextmanager
    async def connected(self, address: str) -> AsyncIterator[ScriptedEngine]:
        """Hold a stream; at the end of the block it breaks."""
        async with connect(address) as channel:
            stub: scheduler_service_pb2_grpc.SchedulerServiceAsyncStub = (
                scheduler_service_pb2_grpc.SchedulerServiceStub(channel)
            )
            self._call = stub.Connect()
            hello = stream.Hello(session_id=self.session_id, engine_id=self.name, protocol=1)
            hello.running.extend(each.attempt for each in self.running.values())
            hello.credit.slots.update({"plan": 1, "ssh": 4})
            await self._call.write(stream.ConnectRequest(hello=hello))
            first = await self._call.read()
            assert isinstance(first, stream.ConnectResponse)
            self.welcome = first.welcome
            loops = [asyncio.create_task(self._read()), asyncio.create_task(self._beat())]
            try:
                yield self
            finally:
                self._call.cancel()
                for loop in loops:
                    loop.cancel()
                await asyncio.gather(*loops, return_exceptions=True)

    async def get(self, key: str) -> stream.Assignment:
        """Wait until a task is handed over."""
        await self.wait_for(lambda: key in self.running)
        return self.running[key]

    async def succeed(
        self,
        key: str,
        *,
        spawn: Iterable[operation_pb2.TaskSpec] = (),
        end: Operation.State.ValueType | None = None,
    ) -> tuple[str, int]:
        """Give a result and wait until it is acknowledged; gives the attempt."""
        assignment = await self.get(key)
        succeeded = stream.Succeeded(spawn=spawn)
        if end is not None:
            succeeded.conclusion.state = end
        result = stream.Result(attempt=assignment.attempt, succeeded=succeeded)
        await self._call.write(stream.ConnectRequest(done=stream.Done(results=[result])))
        attempt = (assignment.attempt.task_id, assignment.attempt.epoch)
        await self.wait_for(lambda: attempt in self.acknowledged)
        self.running.pop(key, None)
        return attempt

    async def say(self, request: stream.ConnectRequest) -> None:
        """Say something else."""
        await self._call.write(request)

    async def wait_for(self, happened: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(_WAIT), self._news:
            await self._news.wait_for(happened)

    async def _read(self) -> None:
        while isinstance(response := await self._call.read(), stream.ConnectResponse):
            async with self._news:
                for assignment in response.run.assignments:
                    self.runs.append(assignment.key)
                    self.running[assignment.key] = assignment
                for ref in response.done_ack.attempts:
                    self.acknowledged.add((ref.task_id, ref.epoch))
                self.drained |= response.HasField("drain")
                self._news.notify_all()

    async def _beat(self) -> None:
        number = 0
        while True:
            number += 1
            await self._call.write(stream.ConnectRequest(beat=stream.Beat(number=number)))
            await asyncio.sleep(self.welcome.beat_interval.ToMilliseconds() / 1000)
