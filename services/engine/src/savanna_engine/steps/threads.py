"""Calls in threads that are not lost sight of."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from savanna_kit import logs

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna_kit.executors import BoundedExecutor

T = TypeVar("T")

log = logs.get_logger(__name__)
_PATIENCE = 60.0


async def run_whole(threads: BoundedExecutor, call: Callable[..., T], *arguments: object) -> T:
    """Call in a thread; when cancelled, wait for the end of a call that has begun.

    A call that has not begun never will. Who asks a cloud for a server and is cancelled may yet get
    it: only when the call is over is it safe to look for it and remove it.
    """
    tracked = _Tracked(call, arguments)
    try:
        return await threads.run(tracked.run)
    except asyncio.CancelledError:
        await tracked.give_up()
        raise


class _Tracked(Generic[T]):
    """A call that can be given up before it begins, and waited for after."""

    def __init__(self, call: Callable[..., T], arguments: tuple[object, ...]) -> None:
        self._call = call
        self._arguments = arguments
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._has_begun = False
        self._is_given_up = False

    def run(self) -> T:
        """Make the call, in the thread."""
        with self._lock:
            if self._is_given_up:
                raise asyncio.CancelledError
            self._has_begun = True
        try:
            return self._call(*self._arguments)
        finally:
            # The loop is gone when the engine has ended meanwhile: nobody waits then.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)

    async def give_up(self) -> None:
        """Return when the call is over or will never begin."""
        with self._lock:
            self._is_given_up = True
            if not self._has_begun:
                return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._ended.wait()
        except TimeoutError:
            log.warning("call_goes_on", seconds=_PATIENCE)
