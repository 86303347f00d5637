"""The catalog, as the gateway asks."""

from __future__ import annotations

import asyncio
import uuid
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from savanna.conductor.v1 import catalog_service_pb2 as messages
from savanna.conductor.v1 import catalog_service_pb2_grpc as stubs
from savanna_conductor import catalog, catalog_queries, job_binaries
from savanna_conductor.spool import Spool
from savanna_kit.errors import InvalidArgument
from savanna_kit.uploads import heard_out

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import grpc

    from savanna.job.v1 import job_pb2
    from savanna_conductor.keys import Secrets
    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Store

    Context = grpc.aio.ServicerContext[object, object]

_ROWS_AT_ONCE = 8


class CatalogService(stubs.CatalogServiceServicer):
    """Keeps the catalog."""

    def __init__(self, store: Store, secrets: Secrets, settings: ConductorSettings) -> None:
        self._store = store
        self._secrets = secrets
        self._settings = settings

    async def CreateItem(
        self, request: messages.CreateItemRequest, context: Context
    ) -> messages.CreateItemResponse:
        """Store an item."""
        item = await self._store.write(lambda tx: catalog.create(tx, self._secrets, request))
        return messages.CreateItemResponse(item=item)

    async def GetItems(
        self, request: messages.GetItemsRequest, context: Context
    ) -> messages.GetItemsResponse:
        """Read items by id."""
        found = await self._store.read(lambda c: catalog_queries.items(c, request.names))
        return messages.GetItemsResponse(items=found)

    async def ListItems(
        self, request: messages.ListItemsRequest, context: Context
    ) -> messages.ListItemsResponse:
        """List items of one kind."""
        found, token = await self._store.read(lambda c: catalog_queries.list_items(c, request))
        return messages.ListItemsResponse(items=found, next_page_token=token)

    async def UpdateItem(
        self, request: messages.UpdateItemRequest, context: Context
    ) -> messages.UpdateItemResponse:
        """Replace fields of an item."""
        item = await self._store.write(lambda tx: catalog.change(tx, self._secrets, request))
        return messages.UpdateItemResponse(item=item)

    async def DeleteItem(
        self, request: messages.DeleteItemRequest, context: Context
    ) -> messages.DeleteItemResponse:
        """Remove an item."""
        await self._store.write(lambda tx: catalog.remove(tx, request.name))
        return messages.DeleteItemResponse()

    async def WriteJobBinary(
        self, request_iterator: AsyncIterator[messages.WriteJobBinaryRequest], context: Context
    ) -> messages.WriteJobBinaryResponse:
        """Store the bytes of a job binary once all have arrived."""
        with Spool(limit=self._settings.job_binary_limit) as spool:
            async with heard_out(request_iterator):
                name = await self._receive(request_iterator, spool)
            upload = job_binaries.Upload(name, str(uuid.uuid4()), spool.size, spool.sha256)
            try:
                binary = await self._keep(upload, spool)
            except BaseException:
                # Also when the caller went away meanwhile: nothing may be left.
                discard = partial(job_binaries.discard, upload=upload)
                await asyncio.shield(self._store.write(discard))
                raise
        return messages.WriteJobBinaryResponse(job_binary=binary)

    async def _receive(
        self, requests: AsyncIterator[messages.WriteJobBinaryRequest], spool: Spool
    ) -> messages.ItemName:
        name = None
        async for request in requests:
            if name is None:
                if not request.HasField("name"):
                    raise InvalidArgument(
                        "the first message must name the job binary", reason="NAME_MISSING"
                    )
                name = request.name
                await self._store.read(partial(job_binaries.check_writable, name=name))
            spool.add(request.data)
            if request.is_last:
                break
        else:
            raise InvalidArgument(
                "the upload was cut off, nothing of it is stored: upload again",
                reason="UPLOAD_CUT_OFF",
            )
        if not spool.size:
            raise InvalidArgument("the upload has no bytes", reason="UPLOAD_EMPTY")
        return name

    async def _keep(self, upload: job_binaries.Upload, spool: Spool) -> job_pb2.JobBinary:
        pieces = spool.pieces(job_binaries.ROW)
        for first in range(0, upload.rows, _ROWS_AT_ONCE):
            rows = list(islice(pieces, _ROWS_AT_ONCE))
            await self._store.write(
                partial(job_binaries.keep, upload=upload, first=first, pieces=rows)
            )
        return await self._store.write(partial(job_binaries.finish, upload=upload))
