"""Serving HTTP inside the process: uvicorn with its life in the hands of the service."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from savanna_kit import logs
from savanna_kit.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import ASGIApp

    from savanna_kit.identity import Identity

log = logs.get_logger(__name__)

_BACKLOG = 2048
_KEEP_ALIVE_SECONDS = 75
_TICK_SECONDS = 0.1
"""How often uvicorn wants its tick, which renews the date of replies every tenth time."""


CALLER = "savanna.caller"
"""In the state of a request that came with a certificate: the names in it."""


class _Protocol(HttpToolsProtocol):
    """Tells the application what a caller's certificate says."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Note the names; each request of the connection gets a copy."""
        super().connection_made(transport)
        certificate = transport.get_extra_info("peercert")
        if certificate:
            names = [name for _, name in certificate.get("subjectAltName", ())]
            self.app_state = {**self.app_state, CALLER: names}


class _Server(uvicorn.Server):
    """Leaves signals to the process, says when it serves, and ends when it is told to."""

    def __init__(self, config: uvicorn.Config, identity: Identity | None) -> None:
        super().__init__(config)
        self._identity = identity
        self._shown = identity.current() if identity else None
        self._context: ssl.SSLContext | None = None
        self.serving = asyncio.Event()
        self._told_to_end = asyncio.Event()

    def end(self) -> None:
        """Stop accepting, let what is under way finish, then end."""
        self.should_exit = True
        self._told_to_end.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        if self.config.ssl is not None:
            self.config.ssl.sni_callback = self._choose
        await super().startup(sockets)
        self.serving.set()

    async def on_tick(self, counter: int) -> bool:
        """Look for a renewed certificate, then do what is usual."""
        if self._identity is not None and self._identity.current() is not self._shown:
            self._renew(self._identity)
        return await super().on_tick(counter)

    def _renew(self, identity: Identity) -> None:
        """Show a renewed certificate, and trust a renewed authority, to and of who connects now."""
        shown = identity.current()
        try:
            self._context = _context(identity)
        except (ssl.SSLError, OSError) as error:
            # Renewed once more meanwhile, and half done: the former one goes on.
            log.warning("certificate_not_renewed", error=str(error))
        else:
            self._shown = shown

    def _choose(self, connection: ssl.SSLObject, name: str | None, before: ssl.SSLContext) -> None:
        """Let a new connection use what is shown now."""
        del name, before
        if self._context is not None:
            connection.context = self._context

    async def main_loop(self) -> None:
        """Tick until it is told to end, and notice that at once, not at the next tick."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told_to_end.wait(), _TICK_SECONDS)


@asynccontextmanager
async def listening(
    app: ASGIApp, listen: str, *, drain_seconds: float, identity: Identity | None = None
) -> AsyncIterator[str]:
    """Serve an application at "host:port" until the block ends; gives where it really listens.

    What is under way at the end gets ``drain_seconds``. With an identity it is HTTPS, and callers
    must show a certificate of the same authority. Raises ``SettingsError`` for an address
    that can not be listened at.
    """
    bound = _bound(listen)
    host, port = bound.getsockname()[:2]
    config = uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
        **_tls(identity),
    )
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with bound:
        async with _run(_Server(config, identity), bound):
            log.info("rest_ready", address=address)
            yield address


def _tls(identity: Identity | None) -> dict[str, Any]:
    if identity is None:
        return {}
    authority, certificate, key = identity.files
    return {
        "ssl_ca_certs": str(authority),
        "ssl_certfile": str(certificate),
        "ssl_keyfile": str(key),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }


def _context(identity: Identity) -> ssl.SSLContext:
    authority, certificate, key = identity.files
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    return context


@asynccontextmanager
async def _run(server: _Server, bound: socket.socket) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve([bound]))
            await server.serving.wait()
            try:
                yield
            finally:
                server.end()
    except BaseExceptionGroup as failed:
        # What goes wrong in the block comes out as it is, not as a group of one.
        if len(failed.exceptions) > 1:
            raise
        raise failed.exceptions[0] from None


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        made = socket.socket(family, kind, protocol)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"SAVANNA_API_REST_LISTEN={listen} is no address to listen at: give host:port"
        ) from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise SettingsError(
            f"SAVANNA_API_REST_LISTEN={listen} can not be listened at: {error.strerror}; "
            "end what listens there or choose another port"
        ) from error
    return made
