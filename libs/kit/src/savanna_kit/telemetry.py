"""Traces: one trace from the API call to the command on a host (OpenTelemetry, W3C trace context).

Exporting is off unless the standard ``OTEL_*`` environment asks for it; ids are real and carried in
any case.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.util.types import AttributeValue

TRACEPARENT = "traceparent"
_PARENTS = 1024
_propagator = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("savanna")
_ids = RandomIdGenerator()
_exported = False
"""Whether anyone ever sees the spans of this process."""


def configure(service: str, *, exporter: SpanExporter | None = None) -> None:
    """Set tracing up for this process, once.

    A given exporter receives every span at once, for tests.
    """
    global _exported
    wanted = "OTEL_EXPORTER_OTLP_ENDPOINT" in os.environ or (
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" in os.environ
    )
    _exported = _exported or wanted or exporter is not None
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", service)})
        if wanted or exporter:
            provider = TracerProvider(resource=resource)
        else:
            provider = TracerProvider(resource=resource, sampler=ParentBased(ALWAYS_OFF))
        if wanted:
            provider.add_span_processor(BatchSpanProcessor(_otlp_exporter()))
        trace.set_tracer_provider(provider)
    if exporter is not None:
        provider.add_span_processor(SimpleSpanProcessor(exporter))


def is_exported() -> bool:
    """Say whether anyone ever sees the spans of this process."""
    return _exported


def current_traceparent() -> str:
    """Give the W3C traceparent of the running span; empty outside of any."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get(TRACEPARENT, "")


@contextmanager
def span(name: str, traceparent: str = "", **attributes: AttributeValue) -> Iterator[trace.Span]:
    """Run a block in a span: a child of ``traceparent`` if given, else of the running span, else a
    new trace."""
    parent = _parent(traceparent) if traceparent else None
    if not _exported:
        # Nobody would see a span of this process: the caller's, or an empty one, takes its place.
        token = attach(parent or _with_trace())
        try:
            yield trace.get_current_span()
        finally:
            detach(token)
        return
    with _tracer.start_as_current_span(name, context=parent, attributes=attributes) as running:
        yield running


def _with_trace() -> Context:
    """Give the running context, in a trace of its own if it is in none."""
    if trace.get_current_span().get_span_context().is_valid:
        return get_current()
    ids = trace.SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), is_remote=False)
    return trace.set_span_in_context(trace.NonRecordingSpan(ids))


@lru_cache(_PARENTS)
def _parent(traceparent: str) -> Context:
    """Read a traceparent; thousands of steps have that of one operation."""
    return _propagator.extract({TRACEPARENT: traceparent})


def _otlp_exporter() -> SpanExporter:
    # Imported when asked for: it costs a quarter of a second, and most processes never export.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()
