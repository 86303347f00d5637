"""Serving metrics to Prometheus: a small HTTP server on a thread, its answers made on the loop.

What is measured belongs to the loop: it is read between other things, never beside them.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from prometheus_client import Metric as Family

    from savanna_kit.metrics import Metric

_SCRAPE_SECONDS = 5.0
"""A loop that is busy for longer gives no answer; whoever asks sees that."""


class _Registry(CollectorRegistry):
    """Collects on a loop, for a server that runs beside it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    def collect(self) -> Iterable[Family]:
        """Collect everything at one moment of the loop."""
        return asyncio.run_coroutine_threadsafe(self._whole(), self._loop).result(_SCRAPE_SECONDS)

    async def _whole(self) -> list[Family]:
        return list(super().collect())


@asynccontextmanager
async def served(address: str, service: str, metrics: Iterable[Metric[Any]]) -> AsyncIterator[str]:
    """Measure, and serve at "host:port" until the block ends; gives where it really listens.

    Raises ``FailedPrecondition`` for an address that is not free.
    """
    registry = _Registry(asyncio.get_running_loop())
    host, _, port = address.rpartition(":")
    try:
        if not host:
            # It would be every address of this machine.
            raise ValueError(address)
        server, thread = start_http_server(int(port), host.strip("[]"), registry)
    except (OSError, ValueError, OverflowError) as error:
        raise errors.FailedPrecondition(
            f"metrics can not be served at {address}: it is in use, or no address of this machine; "
            "give another host:port as METRICS_ADDRESS, or none",
            reason="ADDRESS_NOT_FREE",
        ) from error
    try:
        with _collecting(registry, service, metrics):
            yield f"{host}:{server.server_port}"
    finally:
        # Not on the loop: an answer under way waits for it.
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


@contextmanager
def _collecting(
    registry: CollectorRegistry, service: str, metrics: Iterable[Metric[Any]]
) -> Iterator[None]:
    ProcessCollector(registry=registry)
    reader = PrometheusMetricReader(scope_info_enabled=False, registry=registry)
    resource = Resource.create({"service.name": service})
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    meter = provider.get_meter("savanna")
    for each in metrics:
        each.bind(meter)
    try:
        yield
    finally:
        for each in metrics:
            each.unbind()
        provider.shutdown()
