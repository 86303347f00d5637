"""The one life of every service: start, serve, drain, close in reverse.

A service is described by ``Parts``: what it serves, what runs beside it, what it holds. One process
can serve one or several of them; all-in-one is nothing else.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import stat
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import uvloop
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from savanna_kit import commands, crashes, errors, logs, metrics, settings, telemetry
from savanna_kit.addresses import is_loopback
from savanna_kit.channels import MAX_MESSAGE
from savanna_kit.interceptors import ServerLayers
from savanna_kit.validity import Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from savanna_kit.identity import Identity

log = logs.get_logger(__name__)
_GARBAGE = 20_000
"""Objects made since the last look for circles of them, before the next."""


_SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    # Two processes on one port would each get half of the calls.
    ("grpc.so_reuseport", 0),
)


@dataclass(frozen=True)
class Served:
    """A servicer, the name of its service and the generated function that adds it to a server."""

    service: str
    add: Callable[[Any, grpc.aio.Server], None]
    servicer: object
    callers: frozenset[str] = frozenset()
    """Roles that may call it where certificates are shown; empty for every role."""


async def _unheard(well: bool) -> None:
    del well


@dataclass
class Parts:
    """What a service is made of."""

    name: str
    listen: str
    identity: Identity | None = None
    """What is shown to callers, who must show theirs; None only where nobody else can call."""

    is_public: bool = False
    """Whether callers are users, who are known by other means than a certificate."""

    served: list[Served] = field(default_factory=list)
    resources: list[AbstractAsyncContextManager[object]] = field(default_factory=list)
    """Opened in order before anything is served, closed in reverse after all."""

    loops: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Run beside the servicers until the end; one that fails ends the process."""

    drains: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Called in order when the end is near, while everything still works."""

    drain_seconds: float = 5.0
    addresses: list[str] = field(default_factory=list)
    """Filled in when it serves: where it really listens."""

    say_well: Callable[[bool], Awaitable[None]] = _unheard
    """Filled in when it serves: whether it can do its work now, for all who ask for its health."""


class Build(Protocol):
    """Makes a service out of its settings; every service exports one."""

    def __call__(self, given: Any, /) -> Parts:  # noqa: ANN401 - each service has settings of its own
        """Build, without starting anything."""


@asynccontextmanager
async def running(services: Sequence[Parts]) -> AsyncIterator[Sequence[Parts]]:
    """Run services until the block ends.

    Raises what a failing loop raised, once everything is closed.
    """

    async with AsyncExitStack() as stack:
        begun = [await stack.enter_async_context(_opened(each)) for each in services]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_guarded(parts, loop))
                for parts in services
                for loop in (*parts.loops, *_watches(parts))
            ]
            try:
                yield services
            finally:
                for server in begun:
                    await server.announce_end()
                for parts in reversed(services):
                    for drain in parts.drains:
                        await _drained(parts, drain)
                for task in tasks:
                    task.cancel()


def _watches(parts: Parts) -> list[Callable[[], Awaitable[None]]]:
    return [] if parts.identity is None else [Watch(parts.name, parts.identity).keep]


async def serve(
    services: Sequence[Parts],
    *,
    name: str = "savanna",
    metrics_address: str = "",
    ready: Callable[[], None] | None = None,
) -> None:
    """Run services as a process of this name until SIGTERM or SIGINT; what it measures is read at
    an address, unless that is empty."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with metrics.endpoint(metrics_address, name), running(services):
        for parts in services:
            log.info("service_ready", service=parts.name, addresses=parts.addresses)
        if ready is not None:
            ready()
        await ended.wait()
        log.info("service_ending", services=[parts.name for parts in services])


def main(kind: type[settings.ServiceSettings], build: Build) -> None:
    """Run one service as a command: read settings, set logs and traces up, serve.

    Exits with 2 for bad settings, and for words: it takes none but ``--help`` and ``--version``.
    """
    words, usage = sys.argv[1:], settings.usage(kind)
    commands.answer(words, command=settings.command_of(kind), usage=usage)
    if words:
        commands.refuse(usage)
    try:
        given = settings.load(kind)
        logs.configure(level=given.log_level, form=given.log_format)
        crashes.arm(os.environ)
    except settings.SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)

    async def program() -> None:
        try:
            # Built inside the loop: channels belong to the loop that runs when they are made.
            parts = build(given)
            name = f"savanna-{parts.name}"
            telemetry.configure(name)
            await serve([parts], name=name, metrics_address=given.metrics_address)
        except (settings.SettingsError, errors.SavannaError) as error:
            # Of the start alone: what fails while it serves comes as a group.
            sys.stderr.write(f"{error}\n")
            sys.exit(2)

    run(program())


def run(program: Any) -> None:  # noqa: ANN401 - a coroutine of any kind
    """Run a coroutine on the fast loop until it ends; a failure ends the process with 1 and its
    story in the log."""
    # Messages come and go by the thousand and hold no circles: to look for some as often as Python
    # does costs a twentieth of the CPU.
    gc.set_threshold(_GARBAGE, 20, 20)
    try:
        uvloop.run(program)
    except* Exception as group:
        log.error("service_failed", exc_info=group)
        sys.exit(1)


class _Server:
    """A gRPC server with health and reflection."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._health = HealthServicer()
        callers = {each.service: each.callers for each in parts.served if each.callers}
        self._server = grpc.aio.server(
            interceptors=[ServerLayers(callers if parts.identity else {})], options=_SERVER_OPTIONS
        )
        for each in parts.served:
            each.add(each.servicer, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = [each.service for each in parts.served]
        reflection.enable_server_reflection(
            [*names, "grpc.health.v1.Health", reflection.SERVICE_NAME], self._server
        )
        self._names = ["", *names]
        self._is_ending = False

    async def start(self) -> None:
        """Bind, serve and say so."""
        listen, identity = self._parts.listen, self._parts.identity
        if identity is None and not self._parts.is_public and not is_loopback(listen):
            raise errors.FailedPrecondition(
                f"{listen} can be reached by others: set TLS_AUTHORITY, TLS_CERTIFICATE and "
                "TLS_KEY (savanna-manage certs makes them), or listen on 127.0.0.1 or unix:/path",
                reason="TLS_REQUIRED",
            )
        try:
            if listen.startswith("unix:"):
                _free_socket(listen.removeprefix("unix:"))
            else:
                _try_address(listen)
            if identity is None:
                port = self._server.add_insecure_port(listen)
            else:
                port = self._server.add_secure_port(listen, identity.server_credentials())
        except (RuntimeError, OSError, ValueError) as error:
            raise errors.FailedPrecondition(
                f"nothing can be served at {listen}: it is in use, or not an address of this "
                "machine; end what uses it, or choose another address",
                reason="ADDRESS_NOT_FREE",
            ) from error
        host, _, _ = listen.rpartition(":")
        address = listen if listen.startswith("unix:") else f"{host}:{port}"
        self._parts.addresses[:] = [address]
        await self._server.start()
        self._parts.say_well = self._say_well
        await self._say_well(True)

    async def announce_end(self) -> None:
        """Tell those who ask that no new calls are wanted."""
        self._is_ending = True
        await self._say(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self) -> None:
        """Let calls under way end, then close."""
        await self._server.stop(self._parts.drain_seconds)

    async def _say_well(self, well: bool) -> None:
        if not self._is_ending:
            state = health_pb2.HealthCheckResponse
            await self._say(state.SERVING if well else state.NOT_SERVING)

    async def _say(self, state: int) -> None:
        for name in self._names:
            await self._health.set(name, state)


def _free_socket(path: str) -> None:
    """Remove the socket that a killed process left; raise ``OSError`` if anything else is there."""
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # One whose queue is full lives too, and must not let us wait.
        probe.setblocking(False)
        if not is_socket or probe.connect_ex(path) != errno.ECONNREFUSED:
            raise FileExistsError(path)
    os.unlink(path)


def _try_address(listen: str) -> None:
    """Bind for a moment: gRPC would write on stderr, beside our own words, what is wrong."""
    host, _, port = listen.rpartition(":")
    found = socket.getaddrinfo(
        host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)


@asynccontextmanager
async def _opened(parts: Parts) -> AsyncIterator[_Server]:
    async with AsyncExitStack() as stack:
        for resource in parts.resources:
            await stack.enter_async_context(resource)
        server = _Server(parts)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


async def _guarded(parts: Parts, loop: Callable[[], Awaitable[None]]) -> None:
    try:
        await loop()
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception(
            "loop_failed", service=parts.name, loop=getattr(loop, "__qualname__", repr(loop))
        )
        raise


async def _drained(parts: Parts, drain: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(parts.drain_seconds):
            await drain()
    except TimeoutError:
        log.warning("drain_cut_off", service=parts.name, seconds=parts.drain_seconds)
