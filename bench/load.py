"""Load on the REST API: some connections that stay open, each sending one request after another."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import clocks
from bench.web import line_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.envoy import Envoy
    from bench.meshes import Bench
    from bench.web import Line


@dataclass(frozen=True)
class Kind:
    """A kind of request: how the next one is written, and the status that it must get."""

    title: str
    write: Callable[[], bytes]
    status: int = 200
    sahara: str = ""
    """CPU milliseconds of Sahara 19.0.0, where it was measured."""


@dataclass(frozen=True)
class Proxy:
    """An Envoy that stands before the gateway, and where it listens for REST."""

    address: str
    envoy: Envoy


@dataclass(frozen=True)
class Served:
    """What some seconds of load came to; CPU is of the whole time, whoever spent it."""

    seconds: float
    waits: list[float]
    """Seconds of each request, sorted."""

    cpu: dict[str, float]
    client_cpu: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.waits) / self.seconds

    def quantile(self, part: float) -> float:
        """Milliseconds within which this part of the requests was answered."""
        return 1000 * self.waits[min(len(self.waits) - 1, int(part * len(self.waits)))]

    def per_request(self, seconds: float) -> float:
        """Milliseconds for one request."""
        return 1000 * seconds / len(self.waits)


async def run(
    bench: Bench, kind: Kind, connections: int, seconds: float, proxy: Proxy | None = None
) -> Served:
    """Put load on for some seconds, by a proxy if one is given.

    Raises ``WebError`` for any answer that was not expected.
    """
    async with AsyncExitStack() as stack:
        address = proxy.address if proxy else bench.mesh.plan.rest
        lines = [await stack.enter_async_context(line_to(address)) for _ in range(connections)]
        await asyncio.gather(*(each.ask(kind.write(), kind.status) for each in lines))
        before, mine = _cpu(bench, proxy), clocks.spent_here()
        begun = time.perf_counter()
        waits = await asyncio.gather(*(_ask(each, kind, begun + seconds) for each in lines))
        ended = time.perf_counter()
        after = _cpu(bench, proxy)
        return Served(
            seconds=ended - begun,
            waits=sorted(wait for each in waits for wait in each),
            cpu={name: after[name] - before[name] for name in after},
            client_cpu=clocks.spent_here() - mine,
        )


def _cpu(bench: Bench, proxy: Proxy | None) -> dict[str, float]:
    return bench.cpu() | ({"envoy": proxy.envoy.cpu()} if proxy else {})


async def _ask(line: Line, kind: Kind, until: float) -> list[float]:
    waits: list[float] = []
    now = time.perf_counter()
    while now < until or not waits:
        await line.ask(kind.write(), kind.status)
        begun, now = now, time.perf_counter()
        waits.append(now - begun)
    return waits
