"""Connections to hosts: one a host, shared by all threads, with the host's key pinned."""

from __future__ import annotations

import base64
import binascii
import contextlib
import io
import socket
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import paramiko
from fabric import Config, Connection
from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    ChannelException,
    SSHException,
)

from savanna_engine.remote.errors import HostKeyMismatch, HostUnreachable, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_engine.remote.base import Host

_SILENCE = 15
"""Seconds after which a host that acknowledges nothing counts as gone."""


class Deadline:
    """The moment by which a call must have ended."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds left; never quite zero, which would mean "do not wait" to a socket."""
        return max(0.001, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        """Say whether it is over."""
        return time.monotonic() >= self._end


def close_quietly(channel: paramiko.Channel) -> None:
    """Close a channel; whether the other side can still be told does not matter."""
    with contextlib.suppress(SSHException, OSError, EOFError):
        channel.close()


class Connections:
    """A bounded pool: what was used least recently gives way to a new host.

    ``sessions`` bounds what goes on at once over one connection; OpenSSH's own default is ten.
    """

    def __init__(self, limit: int = 512, sessions: int = 10) -> None:
        self._limit = limit
        self._sessions = sessions
        self._lock = threading.Lock()
        self._lines: OrderedDict[Host, _Line] = OrderedDict()

    @contextlib.contextmanager
    def channel(self, host: Host, deadline: Deadline) -> Iterator[paramiko.Channel]:
        """Open a channel for one command; raises ``HostUnreachable`` and ``HostKeyMismatch``."""
        line = self._take(host)
        try:
            with line.session(host, deadline) as channel:
                yield channel
        except HostUnreachable:
            self._drop(host, line)
            raise
        finally:
            self._give_back(line)

    def forget(self, address: str) -> None:
        """Close the connections to an address."""
        with self._lock:
            gone = [host for host in self._lines if host.address == address]
            lines = [self._retire(host) for host in gone]
        for line in lines:
            line.close()

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            lines = [self._retire(host) for host in list(self._lines)]
        for line in lines:
            line.close()

    def _take(self, host: Host) -> _Line:
        with self._lock:
            line = self._lines.get(host)
            if line is None:
                line = self._lines[host] = _Line(self._sessions)
            line.users += 1
            self._lines.move_to_end(host)
            surplus = [self._retire(each) for each in self._surplus()]
        for each in surplus:
            each.close()
        return line

    def _surplus(self) -> list[Host]:
        idle = [host for host, line in self._lines.items() if not line.users]
        return idle[: max(0, len(self._lines) - self._limit)]

    def _retire(self, host: Host) -> _Line:
        line = self._lines.pop(host)
        line.retired = True
        return line

    def _drop(self, host: Host, line: _Line) -> None:
        with self._lock:
            if self._lines.get(host) is line:
                self._retire(host)

    def _give_back(self, line: _Line) -> None:
        with self._lock:
            line.users -= 1
            unused = line.retired and not line.users
        # Others may still be served by a line that was too slow for one: the last shuts it.
        if unused:
            line.close()


class _Line:
    """The connection to one host, once somebody has asked for it."""

    def __init__(self, sessions: int) -> None:
        self.users = 0
        self.retired = False
        self._logging_in = threading.Lock()
        self._free = threading.BoundedSemaphore(sessions)
        self._connection: _Connection | None = None

    @contextlib.contextmanager
    def session(self, host: Host, deadline: Deadline) -> Iterator[paramiko.Channel]:
        if not self._free.acquire(timeout=deadline.left()):
            raise HostUnreachable(f"{host.instance} is busy with other commands")
        try:
            channel = self._open(host, deadline)
            try:
                yield channel
            finally:
                close_quietly(channel)
        finally:
            self._free.release()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _open(self, host: Host, deadline: Deadline) -> paramiko.Channel:
        connection, fresh = self._connect(host, deadline)
        try:
            return connection.open(deadline)
        except (SSHException, OSError, EOFError) as error:
            # A connection that had broken unnoticed has carried nothing yet: try a new one.
            if fresh or connection.alive:
                raise HostUnreachable(_unanswered(host, error)) from error
        connection, _ = self._connect(host, deadline)
        try:
            return connection.open(deadline)
        except (SSHException, OSError, EOFError) as error:
            raise HostUnreachable(_unanswered(host, error)) from error

    def _connect(self, host: Host, deadline: Deadline) -> tuple[_Connection, bool]:
        if not self._logging_in.acquire(timeout=deadline.left()):
            raise HostUnreachable(f"{host.instance} takes too long to let anybody in")
        try:
            if self._connection is not None and self._connection.alive:
                return self._connection, False
            if self._connection is not None:
                self._connection.close()
            self._connection = _Connection(host, deadline)
            return self._connection, True
        finally:
            self._logging_in.release()


class _Connection:
    """A fabric connection that trusts one key, and uses nothing of the engine's own user."""

    def __init__(self, host: Host, deadline: Deadline) -> None:
        pinned, key = _pinned(host), _opener(host)
        try:
            made = socket.create_connection((host.address, host.port), deadline.left())
        except OSError as error:
            raise HostUnreachable(_unanswered(host, error)) from error
        self._socket = _PromptSocket(fileno=made.detach())
        _tune(self._socket)
        left = deadline.left()
        self._fabric = Connection(
            host.address,
            user=host.user,
            port=host.port,
            config=Config(lazy=True, ssh_config=paramiko.SSHConfig()),
            connect_kwargs={
                "sock": self._socket,
                "pkey": key,
                "allow_agent": False,
                "look_for_keys": False,
                "timeout": left,
                "banner_timeout": left,
                "auth_timeout": left,
                "channel_timeout": left,
            },
        )
        name = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        self._fabric.client.get_host_keys().add(name, pinned.get_name(), pinned)
        self._fabric.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            self._log_in(host)
        except BaseException:
            self.close()
            raise
        # paramiko looks up ten times a second whether it is to end: hundreds of idle connections
        # would keep a processor busy. Here it is woken instead, see close.
        self._socket.settimeout(_SILENCE)

    @property
    def alive(self) -> bool:
        return bool(self._fabric.is_connected)

    def open(self, deadline: Deadline) -> paramiko.Channel:
        channel: paramiko.Channel = self._fabric.transport.open_session(timeout=deadline.left())
        return channel

    def close(self) -> None:
        # Wakes the thread that reads.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._fabric.client.close()
        self._socket.close()

    def _log_in(self, host: Host) -> None:
        try:
            self._fabric.open()
        except BadHostKeyException as error:
            raise HostKeyMismatch(
                f"{host.address} shows another key than {host.instance} was made with: "
                "another machine answers there; nothing was sent to it"
            ) from error
        except AuthenticationException as error:
            raise HostUnreachable(
                f"{host.instance} does not take the key of its cluster for {host.user}: {error}"
            ) from error
        except (SSHException, OSError, EOFError) as error:
            raise HostUnreachable(_unanswered(host, error)) from error


class _PromptSocket(socket.socket):
    """Acknowledges at once what it receives.

    OpenSSH sets NODELAY only for terminals: its second small message waits until the first is
    acknowledged, which a kernel puts off by 40 ms. The setting is lost with each receipt.
    """

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        if hasattr(socket, "TCP_QUICKACK"):
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


def _tune(connected: socket.socket) -> None:
    # Without NODELAY every small message waits for the acknowledgement of the one before: 40 ms.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The kernel finds out that a silent host is gone, also while a long command writes nothing.
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", 5),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", _SILENCE // 5),
        ("TCP_USER_TIMEOUT", _SILENCE * 1000),
    ):
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _pinned(host: Host) -> paramiko.PKey:
    try:
        kind, data = host.host_key.split()[:2]
        return paramiko.PKey.from_type_string(kind, base64.b64decode(data))
    except (ValueError, binascii.Error, SSHException, paramiko.pkey.UnknownKeyType) as error:
        raise HostKeyMismatch(
            f"the host key known of {host.instance} can not be read, so nothing can be trusted"
        ) from error


def _opener(host: Host) -> paramiko.PKey:
    try:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(host.private_key))
    except (ValueError, SSHException) as error:
        raise RemoteError(f"the key that opens {host.instance} can not be read: {error}") from error


def _unanswered(host: Host, error: BaseException) -> str:
    reason = str(error) or type(error).__name__
    if isinstance(error, ChannelException):
        reason = f"it opens no further session ({reason})"
    return f"{host.instance} at {host.address} port {host.port} does not answer: {reason}"
