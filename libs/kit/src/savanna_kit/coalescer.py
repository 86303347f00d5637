"""Sharing calls: one is under way, what arrives meanwhile goes together into the next.

A lone caller waits for nobody; many callers share one round trip and one transaction. An error
belongs to its item, never to its neighbours: the batch function gives a result or an exception for
each item.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Shares calls of one batch function, at most ``limit`` items each."""

    def __init__(
        self,
        batch: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        limit: int = 256,
    ) -> None:
        self._batch = batch
        self._limit = limit
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._running: asyncio.Task[None] | None = None

    async def call(self, item: Item) -> Result:
        """Give the result of one item, or raise its own error."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[: self._limit], self._waiting[self._limit :]
                await self._run_batch(taken)
        finally:
            self._running = None

    async def _run_batch(self, taken: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._batch([item for item, _ in taken])
        except BaseException as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(taken, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
