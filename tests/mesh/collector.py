"""A collector of traces: it keeps what it is told over OTLP."""

from __future__ import annotations

from collections import defaultdict
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the names of spans, by trace and by the service that told them."""

    def __init__(self) -> None:
        self.address = ""
        self.spans: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

    def Export(
        self, request: otlp.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> otlp.ExportTraceServiceResponse:
        """Take spans."""
        del context
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    told = self.spans[span.trace_id.hex()]
                    told[names["service.name"]].add(span.name)
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
