"""A collector of traces: it keeps what it is told over OTLP."""

from __future__ import annotations

from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is told, each with the service that told it."""

    def __init__(self) -> None:
        self.address = ""
        self.socket: Path | None = None
        """The same, for who is on this machine but in another network."""

        self.told: list[tuple[str, Span]] = []

    def spans_of(self, trace: str) -> dict[str, tuple[str, Span]]:
        """Give the spans of a trace by their ids, each with the service that told it."""
        return {
            span.span_id.hex(): (service, span)
            for service, span in list(self.told)
            if span.trace_id.hex() == trace
        }

    def Export(
        self, request: otlp.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> otlp.ExportTraceServiceResponse:
        """Take spans."""
        del context
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            service = names.get("service.name", "")
            for scope in resource.scope_spans:
                self.told.extend((service, span) for span in scope.spans)
        return otlp.ExportTraceServiceResponse()


@contextmanager
def collecting(host: str, socket: Path | None = None) -> Iterator[Collector]:
    """Run a collector at any port of an address of this machine, and at a socket if one is given;
    its path must be short."""
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add: Callable[[Collector, grpc.Server], None] = (
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    )
    add(collector, server)
    collector.address = f"{host}:{server.add_insecure_port(f'{host}:0')}"
    if socket is not None:
        server.add_insecure_port(f"unix:{socket}")
        collector.socket = socket
    server.start()
    try:
        yield collector
    finally:
        server.stop(0)
