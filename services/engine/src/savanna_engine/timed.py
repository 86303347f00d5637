"""Measuring how long the calls of a driver take."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna_kit.metrics import Histogram

T = TypeVar("T")


def timed(driver: T, seconds: Histogram) -> T:
    """Give a driver whose calls are measured, by their names and outcomes."""
    return cast("T", _Timed(driver, seconds))


class _Timed:
    """Stands before a driver: every method is measured, so none can be forgotten."""

    def __init__(self, driver: object, seconds: Histogram) -> None:
        self._driver = driver
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the driver has
        found = getattr(self._driver, name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, call: Callable[..., Any], /, *given: Any, **named: Any) -> Any:  # noqa: ANN401 - the call's own
        begin = time.perf_counter()
        outcome = "ok"
        try:
            return call(*given, **named)
        except Exception as error:
            outcome = type(error).__name__
            raise
        finally:
            self._seconds.record(time.perf_counter() - begin, name, outcome)
