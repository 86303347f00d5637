"""What schedulers ask."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as messages
from savanna.conductor.v1 import execution_service_pb2_grpc as stubs
from savanna_conductor import claims, commit, launches, leases, metrics
from savanna_kit.metrics import is_on

if TYPE_CHECKING:
    import grpc

    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store, Transaction

    Context = grpc.aio.ServicerContext[object, object]


class ExecutionService(stubs.ExecutionServiceServicer):
    """Keeps who owns what, and records every decision."""

    def __init__(self, store: Store, settings: ConductorSettings) -> None:
        self._store = store
        self._settings = settings

    async def RenewScheduler(
        self, request: messages.RenewSchedulerRequest, context: Context
    ) -> messages.RenewSchedulerResponse:
        """Make or renew a scheduler's lease."""
        lease = self._settings.scheduler_lease_seconds

        def renew(tx: Transaction) -> int:
            leases.renew_scheduler(tx, request, lease_seconds=lease)
            return len(claims.living_schedulers(tx.connection))

        living = await self._store.write(renew)
        response = messages.RenewSchedulerResponse(living_schedulers=living)
        response.lease.FromMilliseconds(int(lease * 1000))
        return response

    async def ReleaseScheduler(
        self, request: messages.ReleaseSchedulerRequest, context: Context
    ) -> messages.ReleaseSchedulerResponse:
        """Give up a scheduler's lease."""
        await self._store.write(lambda tx: leases.release_scheduler(tx, request.scheduler_id))
        return messages.ReleaseSchedulerResponse()

    async def ListSchedulers(
        self, request: messages.ListSchedulersRequest, context: Context
    ) -> messages.ListSchedulersResponse:
        """List the living schedulers."""
        found = await self._store.read(claims.living_schedulers)
        return messages.ListSchedulersResponse(schedulers=found)

    async def Claim(
        self, request: messages.ClaimRequest, context: Context
    ) -> messages.ClaimResponse:
        """Take operations; wait for some when there are none."""
        deadline = asyncio.get_running_loop().time() + request.wait.ToMilliseconds() / 1000
        while True:
            change = self._store.next_call()
            response = await self._claim(request)
            left = deadline - asyncio.get_running_loop().time()
            if response.graphs or response.cancels or left <= 0:
                return response
            await self._store.wait_for_change(change, min(left, self._settings.look_seconds))

    async def _claim(self, request: messages.ClaimRequest) -> messages.ClaimResponse:
        # Looking costs no transaction of the writer: only when there is something is it taken.
        if not await self._store.read(lambda connection: claims.is_worthwhile(connection, request)):
            return messages.ClaimResponse()
        return await self._store.write(lambda tx: claims.claim(tx, request))

    async def Commit(
        self, request: messages.CommitRequest, context: Context
    ) -> messages.CommitResponse:
        """Record decisions."""
        response = await self._store.write(lambda tx: commit.commit(tx, request))
        if is_on():
            await self._measure(request, response)
        return response

    async def _measure(
        self, request: messages.CommitRequest, response: messages.CommitResponse
    ) -> None:
        if not request.changes:
            # It asks what became of an earlier one, which was measured.
            return
        codes = Counter(each.code for each in response.verdicts)
        for code, count in codes.items():
            name = messages.Verdict.Code.Name(code).removeprefix("CODE_").lower()
            metrics.CHANGES.add(count, name)
        applied = messages.Verdict.CODE_APPLIED
        ended = [
            change.end_operation.operation_id
            for change, verdict in zip(request.changes, response.verdicts, strict=True)
            if change.HasField("end_operation") and verdict.code == applied
        ]
        await launches.measure(self._store, ended)

    async def RenewSessions(
        self, request: messages.RenewSessionsRequest, context: Context
    ) -> messages.RenewSessionsResponse:
        """Make or renew engine sessions."""
        lease = self._settings.engine_lease_seconds
        ended = await self._store.write(
            lambda tx: leases.renew_sessions(tx, request.sessions, lease_seconds=lease)
        )
        response = messages.RenewSessionsResponse(ended=ended)
        response.lease.FromMilliseconds(int(lease * 1000))
        return response
