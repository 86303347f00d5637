"""``Client``: one connection to Savanna, and what is worth more than one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from savanna.api.v1 import (
    catalog_service_pb2_grpc,
    cluster_service_pb2_grpc,
    job_service_pb2_grpc,
    mesh_service_pb2_grpc,
    orphan_service_pb2_grpc,
)
from savanna.api.v1.cluster_service_pb2 import GetOperationRequest, WatchOperationsRequest
from savanna.api.v1.job_service_pb2 import ReadJobOutputRequest
from savanna.job.v1.job_pb2 import OutputChunk
from savanna_client import output, upload
from savanna_client.entry import Introduction, credentials
from savanna_client.journal import OPERATION_ENDED, Follower
from savanna_client.outage import Outage
from savanna_client.repeats import RETRIES
from savanna_kit.channels import connect
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Any

    from google.protobuf.message import Message

    from savanna.job.v1.job_pb2 import JobBinary
    from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
    from savanna_client.tls import Tls

    Response = TypeVar("Response", bound=Message)

PATIENCE = 60.0
"""Seconds that following rides out an outage."""


class Client:
    """A connection to the public API at "host:port" or "unix:/path".

    Every RPC of the contract is there, typed, on ``catalog``, ``clusters``, ``operations``,
    ``jobs``, ``mesh`` and ``orphans``; what follows something or sends bytes has a method of its
    own here::

        async with Client("127.0.0.1:8387", token="...") as savanna:
            answer = await savanna.clusters.CreateCluster(CreateClusterRequest(cluster=wanted))
            async for entry in savanna.watch(operation_id=answer.operation.id):
                print(entry.instance, entry.title)

    Failures are raised as errors of ``savanna_kit.errors``. Nothing is sent before the first call.
    Reads, and writes that carry a request id, are sent again when the connection breaks; a write
    without an id gets one, so that it is done once all the same. With ``tls`` the connection is
    encrypted, and the gateway must show a certificate for the host of the address.
    """

    def __init__(
        self, address: str, token: str = "", project: str = "", *, tls: Tls | None = None
    ) -> None:
        self.address = address
        self._tls = tls
        self._metadata = credentials(token, project)

    async def __aenter__(self) -> Self:
        self._channel = connect(
            self.address,
            credentials=self._tls.credentials() if self._tls else None,
            retries=RETRIES,
            outside=[Introduction(self.address, self._metadata)],
        )
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(self._channel)
        self.clusters = cluster_service_pb2_grpc.ClusterServiceStub(self._channel)
        self.operations = cluster_service_pb2_grpc.OperationServiceStub(self._channel)
        self.jobs = job_service_pb2_grpc.JobServiceStub(self._channel)
        self.mesh = mesh_service_pb2_grpc.MeshServiceStub(self._channel)
        self.orphans = orphan_service_pb2_grpc.OrphanServiceStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    def watch(
        self,
        *,
        operation_id: str = "",
        cluster_id: str = "",
        after: int = 0,
        patience: float = PATIENCE,
        on_break: Callable[[SavannaError], None] | None = None,
    ) -> AsyncIterator[JournalEntry]:
        """Follow what happens, entry by entry, in the order in which it was committed.

        With ``operation_id`` it ends with that operation, otherwise never; ``after`` begins behind
        that sequence number. A lost connection is made again, with growing waits, and the journal
        goes on where it stood: no entry is given twice, none is left out. ``on_break`` hears of
        each outage; one that lasts longer than ``patience`` seconds is raised as ``Unavailable``.
        Raises ``NotFound`` for an operation that is not there, ``FailedPrecondition`` when entries
        behind ``after`` were archived: then read anew what is watched, and begin without ``after``.
        """
        request = WatchOperationsRequest(
            after_sequence=after,
            cluster_id=cluster_id,
            operation_id=operation_id,
            until_operation_ends=bool(operation_id),
        )
        follower = Follower(self.operations, request, address=self.address, metadata=self._metadata)
        return follower.follow(Outage(patience, on_break))

    async def operation(self, operation_id: str) -> Operation:
        """Read an operation.

        Raises ``NotFound``.
        """
        answer = await self.operations.GetOperation(GetOperationRequest(id=operation_id))
        return answer.operation

    async def wait(self, operation_id: str, *, patience: float = PATIENCE) -> Operation:
        """Wait until an operation has ended, however it ended, and give it.

        Its state says how: ``STATE_SUCCEEDED``, ``STATE_FAILED`` with ``failure``, or
        ``STATE_CANCELLED``. Raises ``NotFound``.
        """
        operation = await self._read_patiently(operation_id, patience)
        if operation.state not in OPERATION_ENDED:
            async for _ in self.watch(operation_id=operation_id, patience=patience):
                pass
            operation = await self._read_patiently(operation_id, patience)
        return operation

    async def _read_patiently(self, operation_id: str, patience: float) -> Operation:
        outage = Outage(patience)
        while True:
            try:
                return await self.operation(operation_id)
            except SavannaError as error:
                await outage.endure(error)

    async def upload(self, binary: JobBinary | str, source: Path | bytes) -> JobBinary:
        """Send the bytes of a job binary (or its id or name), from a file or from memory.

        Earlier bytes are replaced. The last piece is marked, so that an upload which is cut off
        stores nothing. Gives the job binary with size and digest. Raises ``OSError`` for a file
        that can not be read, ``NotFound``, ``ResourceExhausted`` over the limit.
        """
        named = binary if isinstance(binary, str) else binary.id
        return await upload.send(
            self.jobs, named, source, address=self.address, metadata=self._metadata
        )

    async def follow_output(
        self,
        job_id: str,
        *,
        stream: OutputChunk.Stream.ValueType = OutputChunk.STREAM_STDOUT,
        offset: int = 0,
        patience: float = PATIENCE,
    ) -> AsyncIterator[bytes]:
        """Give what a job writes as it comes, from ``offset`` on, until it has ended.

        Raises ``NotFound``; an outage of more than ``patience`` seconds is ``Unavailable``.
        """
        request = ReadJobOutputRequest(id=job_id, stream=stream, offset=offset)
        async for response in output.follow(self.jobs, request, Outage(patience)):
            if response.data:
                yield response.data

    async def whole(
        self, method: Callable[[Any], Awaitable[Response]], request: Message
    ) -> Response:
        """Read a listing to its end: all pages in one response.

        ``method`` is one of the ``List...`` of a stub.
        """
        asked: Any = type(request)()
        asked.CopyFrom(request)
        gathered: Any = await method(asked)
        asked.page_token = gathered.next_page_token
        while asked.page_token:
            page: Any = await method(asked)
            # Merging puts the items behind those that are there; the token is the page's.
            gathered.MergeFrom(page)
            asked.page_token = gathered.next_page_token = page.next_page_token
        answer: Response = gathered
        return answer
