"""The real Envoy's part of a trace, as a collector and the servers behind Envoy get it."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx

from bench.envoy import running
from tests.collector import collecting
from tests.e2e.meshes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
SECONDS = 20.0


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
    with collecting("127.0.0.1") as collector, serving() as (at, heard):
        services = {"rest": {"listen": listen, "at": [at]}}
        description = {"services": services, "traces": collector.address}
        with running(tmp_path, description):
            asked = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            assert httpx.get(f"http://{listen}/v2/plugins", headers=asked).status_code == 200
            deadline = time.monotonic() + SECONDS
            while not collector.told:
                assert time.monotonic() < deadline
                time.sleep(0.02)
    _, span = collector.told[0]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert f"00-{TRACE}-{span.span_id.hex()}-01" in heard
