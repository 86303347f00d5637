"""Browsers' way to the gRPC API through the real Envoy: closed, unless the description opens it."""

from __future__ import annotations

import struct
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from bench.envoy import running
from tests.e2e.meshes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "savanna.api.v1.ClusterService"
SECONDS = 20.0


@contextmanager
def served() -> Iterator[str]:
    """Serve the health of a gateway; gives the address."""
    servicer = health.HealthServicer()
    servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def ask(listen: str) -> httpx.Response:
    """Call as a browser does: by HTTP/1.1, a frame of gRPC-Web in and frames out."""
    message = health_pb2.HealthCheckRequest(service=SERVICE).SerializeToString()
    return httpx.post(
        f"http://{listen}/grpc.health.v1.Health/Check",
        content=struct.pack(">BI", 0, len(message)) + message,
        headers={"content-type": "application/grpc-web+proto"},
    )


def test_browsers_may_call_where_the_description_says_so(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with served() as at, running(tmp_path, described(listen, at, grpc_web=True)):
        deadline = time.monotonic() + SECONDS
        while b"grpc-status:0" not in (answer := ask(listen)).content:
            assert time.monotonic() < deadline, answer.content
            time.sleep(0.05)
        flag, length = struct.unpack(">BI", answer.content[:5])
        told = health_pb2.HealthCheckResponse.FromString(answer.content[5 : 5 + length])
        assert (flag, told.status) == (0, health_pb2.HealthCheckResponse.SERVING)


def test_browsers_may_not_call_otherwise(tmp_path: Path) -> None:
    listen = f"127.0.0.1:{free_port()}"
    with (
        served() as at,
        running(tmp_path, described(listen, at)),
        # Cut off: by a goodbye of HTTP/2 or by a reset, whichever arrives first.
        pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)),
    ):
        ask(listen)


def described(listen: str, at: str, **switches: bool) -> dict[str, Any]:
    return {"services": {"grpc": {"listen": listen, "at": [at], **switches}}}
