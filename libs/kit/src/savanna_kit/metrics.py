"""Metrics: numbers over time, for graphs and alarms (OpenTelemetry, read by Prometheus).

A service declares all that it measures in one file, as constants of the kinds below, from which
docs/metrics.md is made. Nothing is measured until the process is told where to serve it
(``metrics_address``).

Labels are small closed sets: kinds, pools, outcomes, routes. Never an id or a name that users give;
the project is a label only where it is asked for, and then of the few that wait longest.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from savanna_kit import logs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from opentelemetry import metrics as api

    Values = Mapping[tuple[str, ...], float]

log = logs.get_logger(__name__)
Instrument = TypeVar("Instrument")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds for calls and waits."""

LONG_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Bounds for what people wait for."""

COUNTS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
"""Bounds for numbers of things."""


class Metric(Generic[Instrument]):
    """What is measured: its name as Prometheus shows it, and its labels."""

    kind = ""

    def __init__(self, name: str, description: str, *, labels: tuple[str, ...] = ()) -> None:
        if name in declared:
            raise ValueError(f"metric {name} is declared twice")
        self.name = name
        self.description = description
        self.labels = labels
        self._instrument: Instrument | None = None
        declared[name] = self

    def bind(self, meter: api.Meter) -> None:
        """Begin to measure."""
        self._instrument = self._make(meter)

    def unbind(self) -> None:
        """Measure no more."""
        self._instrument = None

    def _make(self, meter: api.Meter) -> Instrument:
        raise NotImplementedError

    def _labelled(self, values: tuple[str, ...]) -> dict[str, str]:
        return dict(zip(self.labels, values, strict=True))


declared: dict[str, Metric[Any]] = {}
"""All metrics of the modules that were imported, by name."""


class Counter(Metric["api.Counter"]):
    """How often something happened, or how much of it; its name ends with ``_total``."""

    kind = "counter"

    def add(self, amount: float = 1, *values: str) -> None:
        """Count; ``values`` are those of the labels, in their order."""
        if self._instrument is not None and amount:
            self._instrument.add(amount, self._labelled(values))

    def _make(self, meter: api.Meter) -> api.Counter:
        return meter.create_counter(self.name, description=self.description)


class Histogram(Metric["api.Histogram"]):
    """How sizes or times are spread: how many were at most so much."""

    kind = "histogram"

    def __init__(
        self,
        name: str,
        description: str,
        *,
        labels: tuple[str, ...] = (),
        bounds: tuple[float, ...] = SECONDS,
    ) -> None:
        super().__init__(name, description, labels=labels)
        self.bounds = bounds

    def record(self, value: float, *labels: str) -> None:
        """Note one; ``labels`` are the values of the labels, in their order."""
        if self._instrument is not None:
            self._instrument.record(value, self._labelled(labels))

    def _make(self, meter: api.Meter) -> api.Histogram:
        return meter.create_histogram(
            self.name,
            description=self.description,
            explicit_bucket_boundaries_advisory=self.bounds,
        )


class _Read(Metric[Instrument]):
    """Something that is asked for when somebody looks, so that it costs nothing before."""

    def __init__(self, name: str, description: str, *, labels: tuple[str, ...] = ()) -> None:
        super().__init__(name, description, labels=labels)
        self._reads: list[Callable[[], Values]] = []

    @asynccontextmanager
    async def read_by(self, read: Callable[[], Values]) -> AsyncIterator[None]:
        """Have a function asked while the block lasts: it gives values by those of the labels.

        It runs on the process's loop, between other things, and must be quick.
        """
        self._reads.append(read)
        try:
            yield
        finally:
            self._reads.remove(read)

    def _observe(self, options: api.CallbackOptions) -> Iterable[api.Observation]:
        from opentelemetry.metrics import Observation

        del options
        for read in self._reads:
            for values, value in read().items():
                yield Observation(value, self._labelled(values))


class Gauge(_Read["api.ObservableGauge"]):
    """How much there is now."""

    kind = "gauge"

    def _make(self, meter: api.Meter) -> api.ObservableGauge:
        return meter.create_observable_gauge(
            self.name, callbacks=[self._observe], description=self.description
        )


class Total(_Read["api.ObservableCounter"]):
    """How much there ever was, counted by whoever is asked; its name ends with ``_total``."""

    kind = "counter"

    def _make(self, meter: api.Meter) -> api.ObservableCounter:
        return meter.create_observable_counter(
            self.name, callbacks=[self._observe], description=self.description
        )


class _State:
    is_on = False


def is_on() -> bool:
    """Say whether anything is measured: what only measuring needs may be left out otherwise."""
    return _State.is_on


@asynccontextmanager
async def endpoint(address: str, service: str) -> AsyncIterator[str]:
    """Measure, and serve to Prometheus at "host:port" until the block ends; at "" do neither.

    Gives where it really listens. Raises ``FailedPrecondition`` for an address that is not free.
    """
    if not address:
        yield ""
        return
    # Imported when asked for: most processes of a laptop or a test never measure.
    from savanna_kit import scrapes

    async with scrapes.served(address, service, list(declared.values())) as where:
        _State.is_on = True
        log.info("metrics_ready", address=where)
        try:
            yield where
        finally:
            _State.is_on = False
