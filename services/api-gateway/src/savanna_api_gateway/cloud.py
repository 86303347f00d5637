"""What the cloud offers, asked of engines and kept for seconds; and what was left in it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.engine.v1 import cloud_service_pb2, cloud_service_pb2_grpc
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeVar

    import grpc

    from savanna.cluster.v1 import cloud_pb2, orphan_pb2
    from savanna_kit.clock import Clock

    Stub = cloud_service_pb2_grpc.CloudServiceAsyncStub
    T = TypeVar("T")

log = logs.get_logger(__name__)

_CATALOG_SECONDS = 10.0
_ORPHAN_SECONDS = 30.0


class Cloud:
    """Looks at the cloud through the first engine that answers."""

    def __init__(
        self, channels: Mapping[str, grpc.aio.Channel], *, clock: Clock, cache_seconds: float
    ) -> None:
        self._stubs = {
            address: cloud_service_pb2_grpc.CloudServiceStub(channel)
            for address, channel in channels.items()
        }
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._kept: dict[str, tuple[float, cloud_pb2.CloudCatalog]] = {}
        self._reading = asyncio.Lock()

    async def catalog(self, project_id: str) -> cloud_pb2.CloudCatalog:
        """Give what a project is offered, not to be changed.

        Raises ``Unavailable``.
        """
        kept = self._fresh(project_id)
        if kept is not None:
            return kept
        async with self._reading:
            kept = self._fresh(project_id)
            if kept is None:
                kept = await self._read(project_id)
                self._kept[project_id] = (self._clock.monotonic(), kept)
        return kept

    def _fresh(self, project_id: str) -> cloud_pb2.CloudCatalog | None:
        read_at, catalog = self._kept.get(project_id, (None, None))
        if read_at is None or self._clock.monotonic() - read_at >= self._cache_seconds:
            return None
        return catalog

    async def orphans(self) -> cloud_service_pb2.ListOrphansResponse:
        """List what was left in the cloud and belongs to nobody.

        Raises ``Unavailable``.
        """
        request = cloud_service_pb2.ListOrphansRequest()
        return await self._first(
            lambda stub: stub.ListOrphans(request, timeout=_ORPHAN_SECONDS),
            "compares the cloud with what is stored",
        )

    async def clean_orphan(self, server_id: str) -> orphan_pb2.CleanOutcome.ValueType:
        """Remove what was left in the cloud.

        Raises ``FailedPrecondition`` for what is no orphan, and ``Unavailable``.
        """
        request = cloud_service_pb2.CleanOrphanRequest(id=server_id)
        response = await self._first(
            lambda stub: stub.CleanOrphan(request, timeout=_ORPHAN_SECONDS),
            "removes it from the cloud",
        )
        return response.outcome

    async def _read(self, project_id: str) -> cloud_pb2.CloudCatalog:
        request = cloud_service_pb2.GetCatalogRequest(project_id=project_id)
        response = await self._first(
            lambda stub: stub.GetCatalog(request, timeout=_CATALOG_SECONDS),
            "says what the cloud offers",
        )
        return response.catalog

    async def _first(self, ask: Callable[[Stub], Awaitable[T]], what: str) -> T:
        """Ask one engine after the other until one answers; a refusal is an answer."""
        reasons = []
        for address, stub in self._stubs.items():
            try:
                return await ask(stub)
            except errors.FailedPrecondition:
                raise
            except errors.SavannaError as error:
                log.warning("engine_silent", address=address, error=error.message)
                reasons.append(f"{address}: {error.message}")
        raise errors.Unavailable(
            f"no engine {what}; start an engine and try again"
            + (f" ({'; '.join(reasons)})" if reasons else " (none is named in the settings)"),
            reason="CLOUD_UNAVAILABLE",
            retry_after=1.0,
        )
