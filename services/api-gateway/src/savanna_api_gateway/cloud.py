"""What the cloud offers, asked of engines and kept for seconds."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna.engine.v1 import cloud_service_pb2, cloud_service_pb2_grpc
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import grpc

    from savanna.cluster.v1 import cloud_pb2
    from savanna_kit.clock import Clock

log = logs.get_logger(__name__)

_CATALOG_SECONDS = 10.0


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

    async def _read(self, project_id: str) -> cloud_pb2.CloudCatalog:
        request = cloud_service_pb2.GetCatalogRequest(project_id=project_id)
        reasons = []
        for address, stub in self._stubs.items():
            try:
                response = await stub.GetCatalog(request, timeout=_CATALOG_SECONDS)
            except errors.SavannaError as error:
                log.warning("engine_silent", address=address, error=error.message)
                reasons.append(f"{address}: {error.message}")
            else:
                return response.catalog
        raise errors.Unavailable(
            "no engine says what the cloud offers; start an engine and try again"
            + (f" ({'; '.join(reasons)})" if reasons else " (none is named in the settings)"),
            reason="CLOUD_UNAVAILABLE",
            retry_after=1.0,
        )
