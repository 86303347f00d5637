"""Threads for what blocks: named, bounded, and carrying the caller's context."""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class BoundedExecutor:
    """A pool of at most ``size`` threads; more work waits in order."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.size = size
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in a thread, with the context variables of the caller."""
        context = contextvars.copy_context()
        call = partial(context.run, partial(function, *args, **kwargs))
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Take no more work and wait for what runs."""
        self._threads.shutdown(wait=True, cancel_futures=True)
