"""Offers that engines have not yet taken up: for metrics alone, nothing depends on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from savanna_kit import metrics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna.scheduler.v1 import scheduler_service_pb2 as stream

    Ref = tuple[str, int]


class Offers:
    """Remembers by session what was offered and when, until something is heard of it."""

    def __init__(self) -> None:
        self._made: dict[str, dict[Ref, float]] = {}

    def made(self, session_id: str, run: stream.Run) -> None:
        """Note offers, if anybody measures."""
        if metrics.is_on():
            now = time.monotonic()
            mine = self._made.setdefault(session_id, {})
            mine |= {_key(each.attempt): now for each in run.assignments}

    def heard(self, session_id: str, refs: Iterable[stream.AttemptRef]) -> None:
        """Note that an engine has said something of attempts."""
        mine = self._made.get(session_id)
        if mine:
            for each in refs:
                mine.pop(_key(each), None)

    def forget(self, session_id: str) -> None:
        """Forget what was offered on a stream that has ended: it is offered anew."""
        self._made.pop(session_id, None)

    def count(self) -> int:
        """Count those of which nothing was heard."""
        return sum(map(len, self._made.values()))

    def oldest_seconds(self) -> float:
        """Give how long the oldest of them has waited; 0 without any."""
        now = time.monotonic()
        made = (when for mine in self._made.values() for when in mine.values())
        return now - min(made, default=now)


def _key(ref: stream.AttemptRef) -> Ref:
    return ref.task_id, ref.epoch
