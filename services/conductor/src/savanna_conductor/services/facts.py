"""What engines ask."""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from savanna.conductor.v1 import facts_service_pb2 as messages
from savanna.conductor.v1 import facts_service_pb2_grpc as stubs
from savanna_conductor import job_binaries, job_queries, plan_facts, queries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc
    from sqlalchemy import Connection

    from savanna_conductor.keys import Secrets
    from savanna_conductor.store.transaction import Store

    Context = grpc.aio.ServicerContext[object, object]


class FactsService(stubs.FactsServiceServicer):
    """Reads for engines."""

    def __init__(self, store: Store, secrets: Secrets) -> None:
        self._store = store
        self._secrets = secrets

    async def GetPlanFacts(
        self, request: messages.GetPlanFactsRequest, context: Context
    ) -> messages.GetPlanFactsResponse:
        """Read everything that a plan needs."""

        def read(connection: Connection) -> messages.GetPlanFactsResponse:
            answer = plan_facts.read(connection, request.operation_id)
            if answer.operation.job_id:
                job_queries.add_to_facts(connection, answer)
            return answer

        return await self._store.read(read)

    async def GetAccess(
        self, request: messages.GetAccessRequest, context: Context
    ) -> messages.GetAccessResponse:
        """Read how to reach instances."""
        instances, key = await self._store.read(
            lambda c: queries.access(c, request.cluster_id, request.instance_names)
        )
        private_key = self._secrets.decrypt(key).decode() if request.with_private_key else ""
        return messages.GetAccessResponse(instances=instances, private_key=private_key)

    async def ReadJobBinary(
        self, request: messages.ReadJobBinaryRequest, context: Context
    ) -> AsyncIterator[messages.ReadJobBinaryResponse]:
        """Read the kept bytes of a job binary, a row at a time."""
        binary_id = request.job_binary_id
        version = await self._store.read(lambda c: job_binaries.version(c, binary_id))
        for number in count():
            look = partial(job_binaries.piece, binary_id=binary_id, version=version, number=number)
            data = await self._store.read(look)
            if data is None:
                return
            yield messages.ReadJobBinaryResponse(data=data)

    async def ListInstanceIds(
        self, request: messages.ListInstanceIdsRequest, context: Context
    ) -> messages.ListInstanceIdsResponse:
        """Read which instances and clusters are known."""
        return await self._store.read(lambda c: queries.known_of(c, request))
