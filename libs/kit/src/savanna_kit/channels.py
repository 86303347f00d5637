"""Channels to other services: made once for each peer, kept alive, with retries as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from savanna_kit.interceptors import DEFAULT_DEADLINE, ClientLayers

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_MESSAGE = 64 * 2**20
"""Bytes of the largest message: a claimed operation of ten thousand tasks fits."""

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A peer that was restarted shall be found again in half a second, not in the default minute.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


@dataclass(frozen=True)
class RetryPolicy:
    """Which methods gRPC itself may call again when a peer is unavailable:
    "package.Service/Method"; only what can be repeated."""

    methods: Sequence[str] = ()
    attempts: int = 4
    initial_seconds: float = 0.1
    max_seconds: float = 1.0

    def service_config(self) -> str:
        """Give gRPC's service config."""
        names = []
        for each in self.methods:
            service, _, method = each.partition("/")
            names.append({"service": service, "method": method} if method else {"service": service})
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": f"{self.initial_seconds}s",
            "maxBackoff": f"{self.max_seconds}s",
            "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


def connect(
    address: str,
    *,
    retries: RetryPolicy | None = None,
    default_deadline: float = DEFAULT_DEADLINE,
    outside: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Make a channel to "host:port" or "unix:/path".

    ``outside`` is put around the layers that every channel has. Nothing is sent until the first
    call.
    """
    options: list[tuple[str, str | int]] = list(_OPTIONS)
    if retries is not None and retries.methods:
        options.append(("grpc.service_config", retries.service_config()))
    return grpc.aio.insecure_channel(
        address, options=options, interceptors=[*outside, ClientLayers(default_deadline)]
    )
