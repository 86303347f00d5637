"""What the cloud offers, asked of engines and kept for seconds; and what was left in it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from savanna.engine.v1 import cloud_service_pb2, cloud_service_pb2_grpc
from savanna_kit import errors, logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import TypeVar

    import grpc

    from savanna.cluster.v1 import cloud_pb2, orphan_pb2
    from savanna_kit.clock import Clock

    Stub = cloud_service_pb2_grpc.CloudServiceAsyncStub
    T = TypeVar("T")

log = logs.get_logger(__name__)

_CATALOG_SECONDS = 10.0
_ORPHAN_SECONDS = 30.0
_PATIENCE_SECONDS = 1.0
"""How long an engine is waited for before another is asked too, where asking changes nothing."""


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
        self._reading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._silent: set[str] = set()
        """Engines that did not answer when they were last asked: they are asked last."""

    async def catalog(self, project_id: str) -> cloud_pb2.CloudCatalog:
        """Give what a project is offered, not to be changed.

        Raises ``Unavailable``.
        """
        kept = self._fresh(project_id)
        if kept is not None:
            return kept
        async with self._reading[project_id]:
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
            patience=_PATIENCE_SECONDS,
        )
        return response.catalog

    async def _first(
        self, ask: Callable[[Stub], Awaitable[T]], what: str, *, patience: float | None = None
    ) -> T:
        """Ask one engine after the other until one answers; a refusal is an answer.

        With ``patience``, in seconds, the next is asked beside one that takes longer.
        """
        reasons: list[str] = []
        asked: dict[asyncio.Task[T], str] = {}
        waiting = sorted(self._stubs, key=self._silent.__contains__)
        try:
            while waiting or asked:
                if waiting:
                    address = waiting.pop(0)
                    asked[asyncio.ensure_future(ask(self._stubs[address]))] = address
                done, _ = await asyncio.wait(
                    asked,
                    timeout=patience if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for each in done:
                    address = asked.pop(each)
                    try:
                        answer = each.result()
                    except errors.FailedPrecondition:
                        raise
                    except errors.SavannaError as error:
                        self._silent.add(address)
                        log.warning("engine_silent", address=address, error=error.message)
                        reasons.append(f"{address}: {error.message}")
                    else:
                        self._silent.discard(address)
                        return answer
        finally:
            self._silent.update(asked.values())
            for each in asked:
                each.cancel()
        raise _nobody(what, reasons)


def _nobody(what: str, reasons: Sequence[str]) -> errors.Unavailable:
    return errors.Unavailable(
        f"no engine {what}; start an engine and try again"
        + (f" ({'; '.join(reasons)})" if reasons else " (none is named in the settings)"),
        reason="CLOUD_UNAVAILABLE",
        retry_after=1.0,
    )
