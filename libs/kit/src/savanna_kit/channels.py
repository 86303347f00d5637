"""Channels to other services: made once for each peer, kept alive, with retries as data."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import grpc

from savanna_kit.identity import server_name
from savanna_kit.interceptors import DEFAULT_DEADLINE, ClientLayers
from savanna_kit.renewal import RenewedChannel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from savanna_kit.identity import Identity

Stub = TypeVar("Stub")

MAX_MESSAGE = 64 * 2**20
"""Bytes of the largest message: a claimed operation of ten thousand tasks fits."""

_BALANCED = (
    # All addresses of a name in turn, not the first alone, and the name is looked up again soon
    # after a connection broke: whoever was started anew may have another address.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
)
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A peer that was restarted shall be found again in half a second, not in the default minute.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    *_BALANCED,
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
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        }
        return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


@dataclass(frozen=True)
class Peer:
    """Who is called under which certificate: the caller's own, and the role that must answer."""

    identity: Identity
    role: str

    def options(self) -> list[tuple[str, str | int]]:
        """Give the option of a channel by which only that role is taken for an answer."""
        return [("grpc.ssl_target_name_override", server_name(self.role))]


def peer(identity: Identity | None, role: str) -> Peer | None:
    """Give whom to expect at an address; None where nobody shows a certificate."""
    return None if identity is None else Peer(identity, role)


def connect(
    address: str,
    *,
    peer: Peer | None = None,
    credentials: grpc.ChannelCredentials | None = None,
    retries: RetryPolicy | None = None,
    default_deadline: float = DEFAULT_DEADLINE,
    outside: Sequence[grpc.aio.ClientInterceptor] = (),
) -> grpc.aio.Channel:
    """Make a channel to "host:port" or "unix:/path": to a ``peer`` of the mesh under mutual TLS, or
    as a user with ``credentials`` of one's own, or in plain text.

    ``outside`` is put around the layers that every channel has. Nothing is sent until the first
    call.
    """
    options: list[tuple[str, str | int]] = list(_OPTIONS)
    if retries is not None and retries.methods:
        options.append(("grpc.service_config", retries.service_config()))
    layers = [*outside, ClientLayers(default_deadline)]
    if credentials is not None:
        return grpc.aio.secure_channel(address, credentials, options=options, interceptors=layers)
    if peer is None:
        return grpc.aio.insecure_channel(address, options=options, interceptors=layers)
    options += peer.options()

    def make() -> grpc.aio.Channel:
        credentials = peer.identity.channel_credentials()
        return grpc.aio.secure_channel(address, credentials, options=options, interceptors=layers)

    return RenewedChannel(peer.identity, make)


class BlockingStub(Generic[Stub]):
    """A stub for threads, on a channel that is made anew when its certificate was renewed."""

    def __init__(
        self,
        kind: Callable[[grpc.Channel], Stub],
        address: str,
        options: Sequence[tuple[str, str | int]] = (),
        peer: Peer | None = None,
    ) -> None:
        self._kind = kind
        self._place = (address, options, peer)
        self._identity = peer.identity if peer else None
        self._lock = threading.Lock()
        self._open()

    def current(self) -> Stub:
        """Give the stub to use now; calls of a former one go on."""
        if self._identity is not None and self._identity.current() is not self._pems:
            with self._lock:
                if self._identity.current() is not self._pems:
                    self._open()
        return self._stub

    def close(self) -> None:
        """Close its channel."""
        self._channel.close()

    def _open(self) -> None:
        self._pems = self._identity.current() if self._identity else None
        self._channel = connect_blocking(*self._place)
        self._stub = self._kind(self._channel)


def connect_blocking(
    address: str, options: Sequence[tuple[str, str | int]] = (), peer: Peer | None = None
) -> grpc.Channel:
    """Make a channel for threads, with no layers; its certificate is that of now."""
    balanced: list[tuple[str, str | int]] = [*_BALANCED, *options]
    if peer is None:
        return grpc.insecure_channel(address, options=balanced)
    credentials = peer.identity.channel_credentials()
    return grpc.secure_channel(address, credentials, options=[*balanced, *peer.options()])
