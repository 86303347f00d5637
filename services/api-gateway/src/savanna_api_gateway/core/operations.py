"""Reading, cancelling, repeating and following operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna_api_gateway.shelf import checked_page_size, new_id
from savanna_kit import status
from savanna_kit.interceptors import outgoing_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.operation.v1 import operation_pb2
    from savanna_api_gateway.conductor import Conductor
    from savanna_kit.context import RequestContext


class Operations:
    """What was done, is being done and will be done."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    async def get(self, caller: RequestContext, operation_id: str) -> pb.GetOperationResponse:
        """Read an operation with its tasks and attempts.

        Raises ``NotFound``.
        """
        request = pb.GetOperationRequest(name=_name(caller, operation_id))
        return await self._conductor.operations.GetOperation(request)

    async def page(
        self, caller: RequestContext, *, page_size: int, page_token: str, cluster_id: str
    ) -> pb.ListOperationsResponse:
        """List operations, newest first."""
        request = pb.ListOperationsRequest(
            project_id=caller.project_id,
            page_size=checked_page_size(page_size),
            page_token=page_token,
            cluster_id=cluster_id,
        )
        return await self._conductor.operations.ListOperations(request)

    async def all(
        self, caller: RequestContext, cluster_id: str = ""
    ) -> list[operation_pb2.Operation]:
        """List all operations, newest first."""
        found: list[operation_pb2.Operation] = []
        token = ""
        while True:
            page = await self.page(caller, page_size=0, page_token=token, cluster_id=cluster_id)
            found.extend(page.operations)
            token = page.next_page_token
            if not token:
                return found

    async def cancel(self, caller: RequestContext, operation_id: str) -> operation_pb2.Operation:
        """Ask for the end of an operation.

        Raises ``NotFound`` and ``FailedPrecondition``.
        """
        request = pb.CancelOperationRequest(name=_name(caller, operation_id))
        response = await self._conductor.operations.CancelOperation(request)
        return response.operation

    async def retry(
        self, caller: RequestContext, operation_id: str, request_id: str = ""
    ) -> operation_pb2.Operation:
        """Begin another try of an operation that went wrong.

        Raises ``NotFound`` and ``FailedPrecondition``.
        """
        request = pb.RetryOperationRequest(
            name=_name(caller, operation_id), request_id=request_id or new_id()
        )
        return (await self._conductor.operations.RetryOperation(request)).operation

    async def roll_back(
        self, caller: RequestContext, operation_id: str, request_id: str = ""
    ) -> operation_pb2.Operation:
        """Lead an operation back, or take away what it left.

        Raises ``NotFound`` and ``FailedPrecondition``.
        """
        request = pb.RollbackOperationRequest(
            name=_name(caller, operation_id), request_id=request_id or new_id()
        )
        return (await self._conductor.operations.RollbackOperation(request)).operation

    async def watch(
        self, request: pb.WatchJournalRequest
    ) -> AsyncIterator[pb.WatchJournalResponse]:
        """Follow the journal until the caller leaves or, if asked for, the operation ends."""
        call = self._conductor.operations.WatchJournal(request, metadata=outgoing_metadata())
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as failure:
            raise status.from_rpc_error(failure) from failure
        finally:
            call.cancel()


def _name(caller: RequestContext, operation_id: str) -> pb.OwnedName:
    return pb.OwnedName(project_id=caller.project_id, id=operation_id)
