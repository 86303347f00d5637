"""Following the journal, across lost connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from savanna.api.v1 import cluster_service_pb2 as pb
from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
from savanna_client.entry import failure
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from savanna.api.v1.cluster_service_pb2_grpc import OperationServiceAsyncStub
    from savanna_client.entry import Metadata
    from savanna_client.outage import Outage

OPERATION_ENDED = frozenset(
    (Operation.STATE_SUCCEEDED, Operation.STATE_FAILED, Operation.STATE_CANCELLED)
)
"""States that an operation never leaves."""

_END_WORDS = frozenset(Operation.State.Name(each)[len("STATE_") :] for each in OPERATION_ENDED)


def ends_operation(entry: JournalEntry, operation_id: str = "") -> bool:
    """Whether an entry tells the end of an operation, of this one if it is named."""
    return (
        entry.kind == JournalEntry.KIND_OPERATION_CHANGED
        and entry.state in _END_WORDS
        and (not operation_id or entry.operation_id == operation_id)
    )


class Follower:
    """Reads the journal from where it stands, over one connection after the other."""

    def __init__(
        self,
        operations: OperationServiceAsyncStub,
        request: pb.WatchOperationsRequest,
        *,
        address: str,
        metadata: Metadata,
    ) -> None:
        self._operations = operations
        self._request = pb.WatchOperationsRequest()
        self._request.CopyFrom(request)
        self._address = address
        self._metadata = metadata

    async def follow(self, outage: Outage) -> AsyncIterator[JournalEntry]:
        """Give entry after entry, in order, none twice and none left out."""
        while True:
            try:
                if outage.lasts:
                    # A stream on which nothing happens does not tell whether it stands: a small
                    # call does.
                    await self._operations.ListOperations(pb.ListOperationsRequest(page_size=1))
                    outage.over()
                async for response in self._connected():
                    for entry in response.entries:
                        if entry.sequence > self._request.after_sequence:
                            self._request.after_sequence = entry.sequence
                            yield entry
                    if self._is_over(response):
                        return
                if await self._has_ended():
                    return
                error: errors.SavannaError = errors.Unavailable("the stream of events was closed")
            except errors.SavannaError as lost:
                error = lost
            await outage.endure(error)

    async def _connected(self) -> AsyncIterator[pb.WatchOperationsResponse]:
        call = self._operations.WatchOperations(self._request, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as lost:
            raise failure(lost, self._address) from lost
        finally:
            call.cancel()

    async def _has_ended(self) -> bool:
        """Whether there was nothing left to tell of an operation that ended before."""
        if not self._request.until_operation_ends:
            return False
        request = pb.GetOperationRequest(id=self._request.operation_id)
        answer = await self._operations.GetOperation(request)
        return answer.operation.state in OPERATION_ENDED

    def _is_over(self, response: pb.WatchOperationsResponse) -> bool:
        # The whole of the last response was given: what the end changed stands behind it.
        return self._request.until_operation_ends and any(
            ends_operation(entry, self._request.operation_id) for entry in response.entries
        )
