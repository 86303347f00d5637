"""Waiting between tries, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Growing waits, in seconds: ``initial * factor ** (try - 1)``, at most ``cap``, spread by
    ``jitter`` (0 to 1).
    """

    initial: float = 0.1
    factor: float = 2.0
    cap: float = 5.0
    jitter: float = 0.5

    def delay(self, attempt: int, fraction: float) -> float:
        """Give the wait after the ``attempt``-th failed try (from 1).

        ``fraction`` from 0 to 1 is the caller's random draw.
        The wait lies between ``(1 - jitter)`` times the full one and the full one.
        """
        # The exponent is bounded, so that a long outage can not overflow.
        full = min(self.cap, self.initial * self.factor ** min(attempt - 1, 32))
        return full * (1 - self.jitter * fraction)
