"""Clocks, passed in wherever time matters, so that tests can hold time still."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells time."""

    def now(self) -> datetime:
        """Give the time of day, with zone, for people and records."""

    def monotonic(self) -> float:
        """Give seconds that never go back, for waits and leases."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Give the time of day in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give the machine's monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is moved."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._elapsed = 0.0

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self._elapsed += seconds

    def now(self) -> datetime:
        """Give the start plus what has passed."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Give what has passed."""
        return self._elapsed
