"""A gateway that can be stopped and started again, before a conductor that plays a story."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import cluster_service_pb2_grpc
from savanna.operation.v1.operation_pb2 import JournalEntry, Operation, TaskHistory
from savanna_api_gateway.main import build
from savanna_api_gateway.settings import ApiSettings
from savanna_client import OPERATION_ENDED
from savanna_kit import serving
from savanna_kit.settings import load
from tests.unit.api_gateway import memory, memory_of_work, neighbours

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")


class Operations(memory_of_work.OperationService):
    """Follows the journal as it grows, and knows tasks."""

    def __init__(self, remembered: memory.Memory) -> None:
        super().__init__(remembered)
        self.tasks: dict[str, list[TaskHistory]] = {}
        self.changed = asyncio.Event()
        self.asked: list[int] = []

    async def GetOperation(
        self, request: pb.GetOperationRequest, context: object
    ) -> pb.GetOperationResponse:
        found = self._get(request.name)
        return pb.GetOperationResponse(operation=found, tasks=self.tasks.get(found.id, []))

    async def WatchJournal(
        self, request: pb.WatchJournalRequest, context: object
    ) -> AsyncIterator[pb.WatchJournalResponse]:
        self.asked.append(request.after_sequence)
        name = pb.OwnedName(project_id=request.project_id, id=request.operation_id)
        operation = self._get(name)
        position = request.after_sequence
        while True:
            self.changed.clear()
            found = [
                each
                for each in self.memory.journal[position:]
                if each.operation_id == request.operation_id
            ]
            position = len(self.memory.journal)
            if found:
                yield pb.WatchJournalResponse(entries=found)
            if request.until_operation_ends and any(each.state in _ENDS for each in found):
                return
            if request.until_operation_ends and not found and operation.state in OPERATION_ENDED:
                return
            await self.changed.wait()


class Stage:
    """A gateway at an address, and what stands behind it."""

    def __init__(self, where: Path, auth: str) -> None:
        self.address = f"unix:{where}/api.sock"
        self.memory = memory.Memory()
        self.operations = Operations(self.memory)
        self.plugin = neighbours.Plugin()
        self.cloud = neighbours.CloudService()
        self._where = where
        self._auth = auth
        self._gateway: AsyncExitStack | None = None

    def neighbours(self) -> list[serving.Parts]:
        """Give the services that stay when the gateway goes."""
        conductor = neighbours.conductor(self._where, self.memory)
        name = "savanna.conductor.v1.OperationService"
        add = cluster_service_pb2_grpc.add_OperationServiceServicer_to_server
        conductor.served[:] = [
            serving.Served(name, add, self.operations) if each.service == name else each
            for each in conductor.served
        ]
        return [
            conductor,
            neighbours.plugin(self._where, self.plugin),
            neighbours.engine(self._where, self.cloud),
        ]

    async def start_gateway(self) -> None:
        settings = load(
            ApiSettings,
            listen=self.address,
            rest_listen="127.0.0.1:0",
            auth=self._auth,
            conductor=f"unix:{self._where}/conductor.sock",
            engines=[f"unix:{self._where}/engine.sock"],
            plugins=[f"unix:{self._where}/plugin.sock"],
            drain_seconds=0.1,
        )
        self._gateway = AsyncExitStack()
        await self._gateway.enter_async_context(serving.running([build(settings)]))

    async def stop_gateway(self) -> None:
        if self._gateway is not None:
            await self._gateway.aclose()
            self._gateway = None

    def tell(self, **entry: Any) -> None:
        """Add an entry to the journal and wake those who follow it."""
        self.memory.journal.append(JournalEntry(sequence=len(self.memory.journal) + 1, **entry))
        self.operations.changed.set()

    def end(self, operation_id: str, **values: Any) -> None:
        """End an operation."""
        operation = self.memory.operations[operation_id]
        operation.MergeFrom(Operation(**values))
        state = Operation.State.Name(operation.state).removeprefix("STATE_")
        self.tell(
            operation_id=operation_id,
            kind=JournalEntry.KIND_OPERATION_CHANGED,
            state=state,
            time=operation.end_time,
            failure=operation.failure if operation.HasField("failure") else None,
        )


@asynccontextmanager
async def staged(where: Path, *, auth: str = "none") -> AsyncIterator[Stage]:
    """Run a stage with its gateway."""
    stage = Stage(where, auth)
    async with serving.running(stage.neighbours()):
        await stage.start_gateway()
        try:
            yield stage
        finally:
            await stage.stop_gateway()
