"""Riding out an outage: trying again with growing waits, but not for ever."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from savanna_kit import errors
from savanna_kit.clock import SystemClock
from savanna_kit.retry import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna_kit.clock import Clock

_LOST = (errors.Unavailable, errors.Cancelled, errors.DeadlineExceeded)
_WAITS = Backoff(initial=0.1, factor=2.0, cap=2.0, jitter=0.3)


class Outage:
    """Counts the failures since something last worked."""

    def __init__(
        self,
        patience: float,
        on_break: Callable[[errors.SavannaError], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._patience = patience
        self._on_break = on_break
        self._clock = clock or SystemClock()
        self._failures = 0
        self._since = 0.0

    @property
    def lasts(self) -> bool:
        """Whether it failed last time."""
        return self._failures > 0

    def over(self) -> None:
        """Note that it works."""
        self._failures = 0

    async def endure(self, error: errors.SavannaError) -> None:
        """Wait before the next try.

        Raises the error itself when it is none of a lost connection, or has lasted too long.
        """
        now = self._clock.monotonic()
        if not self.lasts:
            self._since = now
        self._failures += 1
        if not isinstance(error, _LOST) or now - self._since > self._patience:
            raise error
        if self._failures == 1 and self._on_break is not None:
            self._on_break(error)
        await asyncio.sleep(_WAITS.delay(self._failures, random.random()))
