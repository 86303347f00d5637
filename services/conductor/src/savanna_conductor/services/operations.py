"""Operations and the journal, as the gateway asks."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import cluster_service_pb2_grpc as stubs
from savanna.operation.v1 import operation_pb2
from savanna_conductor import (
    history,
    journal,
    metrics,
    operations,
    ownership,
    queries,
    recourse,
)
from savanna_conductor.store import schema
from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc
    from sqlalchemy import Connection

    from savanna_conductor.store.transaction import Store, Transaction

    Context = grpc.aio.ServicerContext[object, object]

_ENTRIES_AT_ONCE = 500
_PATIENCE_SECONDS = 5.0
"""How long a watch waits to be woken before it looks by itself."""

_GATHER_SECONDS = 0.02


class OperationService(stubs.OperationServiceServicer):
    """Reads operations and the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def GetOperation(
        self, request: messages.GetOperationRequest, context: Context
    ) -> messages.GetOperationResponse:
        """Read an operation with all that was done."""

        def read(connection: Connection) -> messages.GetOperationResponse:
            operation = queries.own_operation(connection, request.name)
            return messages.GetOperationResponse(
                operation=operation, tasks=history.history(connection, operation.id)
            )

        return await self._store.read(read)

    async def ListOperations(
        self, request: messages.ListOperationsRequest, context: Context
    ) -> messages.ListOperationsResponse:
        """List operations, newest first."""

        def read(connection: Connection) -> messages.ListOperationsResponse:
            table = schema.operation
            query = select(table).where(table.c.project_id == request.project_id)
            if request.cluster_id:
                query = query.where(table.c.cluster_id == request.cluster_id)
            rows, token = queries.page(
                connection,
                query,
                table,
                request.page_size or 100,
                request.page_token,
                newest_first=True,
            )
            return messages.ListOperationsResponse(
                operations=queries.counted(connection, rows), next_page_token=token
            )

        return await self._store.read(read)

    async def CancelOperation(
        self, request: messages.CancelOperationRequest, context: Context
    ) -> messages.CancelOperationResponse:
        """Ask for the end of an operation."""

        def write(transaction: Transaction) -> messages.CancelOperationResponse:
            operation = queries.own_operation(transaction.connection, request.name)
            if operation.goal == operation_pb2.Operation.GOAL_DELETE:
                raise FailedPrecondition(
                    "a delete can not be cancelled: what it removed is gone",
                    reason="OPERATION_NOT_CANCELLABLE",
                )
            if operation.rollback_of:
                raise FailedPrecondition(
                    "a way back can not be cancelled: it only removes what is left",
                    reason="OPERATION_NOT_CANCELLABLE",
                )
            if operation.state in operations.OPEN:
                operations.request_cancel(transaction, operation)
            found = queries.own_operation(transaction.connection, request.name)
            return messages.CancelOperationResponse(operation=found)

        return await self._store.write(write)

    async def RetryOperation(
        self, request: messages.RetryOperationRequest, context: Context
    ) -> messages.RetryOperationResponse:
        """Store another try."""

        def write(transaction: Transaction) -> messages.RetryOperationResponse:
            operation_id = recourse.retry(transaction, request)
            again = queries.operation(transaction.connection, operation_id)
            return messages.RetryOperationResponse(operation=again)

        return await self._store.write(write)

    async def RollbackOperation(
        self, request: messages.RollbackOperationRequest, context: Context
    ) -> messages.RollbackOperationResponse:
        """Store the way back."""

        def write(transaction: Transaction) -> messages.RollbackOperationResponse:
            operation_id = recourse.roll_back(transaction, request)
            back = queries.operation(transaction.connection, operation_id)
            return messages.RollbackOperationResponse(operation=back)

        return await self._store.write(write)

    async def WatchJournal(
        self, request: messages.WatchJournalRequest, context: Context
    ) -> AsyncIterator[messages.WatchJournalResponse]:
        """Follow the journal."""
        ends = request.until_operation_ends and bool(request.operation_id)
        position = request.after_sequence
        subject_id = request.operation_id or request.cluster_id or request.project_id
        is_caught_up = False
        while True:
            change = self._store.changes.next(subject_id)
            look = await self._store.read(partial(_look, request=request, position=position))
            position = look.position
            if look.entries:
                if is_caught_up:
                    committed = look.entries[-1].time.ToMicroseconds() / 1_000_000
                    metrics.WATCH_LAG_SECONDS.record(time.time() - committed)
                yield messages.WatchJournalResponse(entries=look.entries)
            is_caught_up = len(look.entries) < _ENTRIES_AT_ONCE
            if not is_caught_up:
                continue
            if ends and not look.is_open:
                # Seen on the same snapshot: whatever the operation told was given.
                return
            await self._store.wait_for_change(change, _PATIENCE_SECONDS)
            # What follows closely is taken along: many may watch while much is written.
            await asyncio.sleep(_GATHER_SECONDS)


@dataclass(frozen=True)
class _Look:
    """What comes next in the journal, up to a position, and whether the named operation is open."""

    entries: list[operation_pb2.JournalEntry]
    position: int
    is_open: bool


def _look(connection: Connection, *, request: messages.WatchJournalRequest, position: int) -> _Look:
    is_open = True
    if request.operation_id:
        name = messages.OwnedName(project_id=request.project_id, id=request.operation_id)
        is_open = _state(connection, name) in operations.OPEN
    begins = journal.begin(connection, request)
    position = position or begins
    journal.check_whole(position, begins, request)
    entries = journal.after(connection, request, position, _ENTRIES_AT_ONCE)
    if len(entries) == _ENTRIES_AT_ONCE:
        return _Look(entries, entries[-1].sequence, is_open)
    # All there is was looked through: the next look begins where this snapshot ended.
    return _Look(entries, max(position, journal.head(connection)), is_open)


def _state(connection: Connection, name: messages.OwnedName) -> int:
    table = schema.operation
    row = ownership.own_row(connection, table, name.project_id, name.id, noun="operation")
    state: int = row.state
    return state
