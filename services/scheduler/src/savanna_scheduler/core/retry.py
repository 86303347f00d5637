"""Whether and when a failed attempt is made again: pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit.retry import Backoff

if TYPE_CHECKING:
    from savanna.operation.v1 import operation_pb2

DEFAULT_ATTEMPTS = 3
DEFAULT_INITIAL = 1.0
DEFAULT_FACTOR = 2.0
DEFAULT_CAP = 30.0
JITTER = 0.5


def delay_after(
    policy: operation_pb2.RetryPolicy, failed: int, *, retryable: bool, fraction: float
) -> float | None:
    """Give the seconds to wait after the ``failed``-th failure (from 1), or None when it is given up.

    ``fraction`` is a random draw from 0 to 1.
    """
    if not retryable or failed >= (policy.max_attempts or DEFAULT_ATTEMPTS):
        return None
    backoff = Backoff(
        initial=_seconds(policy.initial_backoff.ToMilliseconds(), DEFAULT_INITIAL),
        factor=policy.factor or DEFAULT_FACTOR,
        cap=_seconds(policy.max_backoff.ToMilliseconds(), DEFAULT_CAP),
        jitter=JITTER,
    )
    return backoff.delay(failed, fraction)


def _seconds(milliseconds: int, default: float) -> float:
    return milliseconds / 1000 if milliseconds > 0 else default
