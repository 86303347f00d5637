"""The real Envoy's part of a trace, as a collector and the servers behind Envoy get it."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
import httpx
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2,
    trace_service_pb2_grpc,
)

from bench.envoy import running
from tests.e2e.meshes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECONDS = 20.0


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: queue.Queue[Any] = queue.Queue()

    def Export(self, request: Any, context: object) -> Any:
        del context
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.spans.put(span)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[tuple[str, Collector]]:
    """Run a collector; gives its address."""
    collector = Collector()
    add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server  # has no types
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        add(collector, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}", collector
        server.stop(None).wait()


@contextmanager
def serving() -> Iterator[tuple[str, list[str]]]:
    """Run a server of HTTP; gives its address, and the traceparents of what it was asked."""
    heard: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers.get("traceparent", ""))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"127.0.0.1:{server.server_port}", heard
        server.shutdown()
        thread.join()


def test_envoy_tells_its_part_of_a_trace_and_servers_go_on_from_it(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with collecting() as (traces, collector), serving() as (at, heard):
        description = {"services": {"rest": {"listen": listen, "at": [at]}}, "traces": traces}
        with running(tmp_path, description):
            asked = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert httpx.get(f"http://{listen}/v2/plugins", headers=asked).status_code == 200
            span = collector.spans.get(timeout=SECONDS)
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert f"00-{TRACE}-{span.span_id.hex()}-01" in heard
