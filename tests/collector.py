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

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is told, each with the service that told it."""

    def __init__(self) -> None:
        self.address = ""
        self.told: list[tuple[str, Span]] = []

    def services_of(self, trace: str) -> set[str]:
        """Name the services that have told of a trace."""
        return {service for service, span in self.told if span.trace_id.hex() == trace}

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
def collecting(host: str) -> Iterator[Collector]:
    """Run a collector at any port of an address of this machine."""
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    add: Callable[[Collector, grpc.Server], None] = (
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server
    )
    add(collector, server)
    collector.address = f"{host}:{server.add_insecure_port(f'{host}:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(0)
