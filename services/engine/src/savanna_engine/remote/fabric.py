"""The SSH channel: runs on real hosts, each call one command on a shared connection."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from paramiko.ssh_exception import SSHException

from savanna_engine.remote import far_side
from savanna_engine.remote.base import RunState
from savanna_engine.remote.connections import Connections, Deadline, close_quietly
from savanna_engine.remote.errors import HostUnreachable, RunNotFound, RunTimeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    import paramiko

    from savanna_engine.remote.base import Command, Host, RunId

_STOP_SECONDS = 15.0
"""What a stop after a time-out may take beyond its grace, until all processes are gone."""

_BLOCK = 64 * 1024


class FabricRemote:
    """Hosts over SSH.

    The engine may die at any moment: what it began goes on, and is found again. A run that is
    stopped has ``grace`` seconds to end by itself.
    """

    def __init__(self, connections: Connections | None = None, *, grace: float = 3.0) -> None:
        self._connections = connections or Connections()
        self._grace = grace
        # What goes wrong is raised; paramiko would also print it, with the stack of its thread.
        logging.getLogger("paramiko").setLevel(logging.CRITICAL)

    def check(self, host: Host, timeout: float) -> None:
        """Log in and open a session; raises ``HostUnreachable`` when the host does not answer in
        time."""
        with self._connections.channel(host, Deadline(timeout)):
            pass

    def run(self, host: Host, run: RunId, command: Command, timeout: float) -> RunState:
        """Start or re-attach and wait for the end; the last 16 MiB of the output and the exit code.

        Raises ``RunTimeout`` after ``timeout`` seconds; the run is stopped first.
        """
        try:
            answer = self._ask(
                host, run, far_side.run(run, command, self._grace), Deadline(timeout)
            )
        except TimeoutError:
            answer = self._stop_late(host, run, timeout)
        return RunState(answer.output, answer.errors, answer.exit_code)

    def start(self, host: Host, run: RunId, command: Command, timeout: float) -> None:
        """Start or find the run; returns when it has surely begun."""
        self._ask_briefly(host, run, far_side.start(run, command, self._grace), timeout)

    def poll(
        self, host: Host, run: RunId, *, output_offset: int, errors_offset: int, timeout: float
    ) -> RunState:
        """Look at a run; at most 4 MiB of each stream, and the end only with the last of them."""
        call = far_side.look(run, output_offset, errors_offset)
        answer = self._ask_briefly(host, run, call, timeout)
        more = far_side.LOOK_BYTES in (len(answer.output), len(answer.errors))
        return RunState(answer.output, answer.errors, None if more else answer.exit_code)

    def stop(self, host: Host, run: RunId, timeout: float) -> None:
        """Stop all processes of a run and wait until they are gone.

        A run that is still to come with this epoch will not start.
        """
        self._ask_briefly(host, run, far_side.stop(run, self._grace), timeout)

    def forget(self, host_address: str) -> None:
        """Drop pooled connections to a host that is gone."""
        self._connections.forget(host_address)

    def close(self) -> None:
        """Close all connections; runs go on."""
        self._connections.close()

    def _stop_late(self, host: Host, run: RunId, timeout: float) -> far_side.Answer:
        """Stop a run that took too long; its answer, if it ended by itself just now."""
        message = f"'{run.key}' on {host.instance} did not end in {timeout:g} s and was stopped"
        wait = self._grace + _STOP_SECONDS
        try:
            answer = self._ask_briefly(host, run, far_side.stop(run, self._grace), wait)
        except RunNotFound as error:
            raise RunTimeout(message) from error
        if answer.stopped:
            raise RunTimeout(message, answer.output)
        return answer

    def _ask_briefly(
        self, host: Host, run: RunId, call: far_side.Call, timeout: float
    ) -> far_side.Answer:
        try:
            return self._ask(host, run, call, Deadline(timeout))
        except TimeoutError as error:
            message = f"{host.instance} did not answer in {timeout:g} s"
            raise HostUnreachable(message) from error

    def _ask(
        self, host: Host, run: RunId, call: far_side.Call, deadline: Deadline
    ) -> far_side.Answer:
        with self._connections.channel(host, deadline) as channel:
            try:
                _send(channel, call, deadline)
                answer = _receive(channel, deadline)
            except TimeoutError:
                raise
            except (SSHException, OSError, EOFError) as error:
                raise _broken(host) from error
            # A command that ended says so; a connection that ended can not.
            if channel.exit_status == -1:
                raise _broken(host)
            complaints = _complaints(channel)
        return far_side.read(host, run, call, answer, complaints)


def _send(channel: paramiko.Channel, call: far_side.Call, deadline: Deadline) -> None:
    # paramiko waits for the reply to a command without end: closing the channel ends that wait.
    watch = threading.Timer(deadline.left(), close_quietly, [channel])
    watch.start()
    try:
        channel.exec_command(call.line)
        channel.settimeout(deadline.left())
        # A host that has answered before it heard all closes its end: the answer is there to read.
        with contextlib.suppress(OSError, EOFError):
            for block in _blocks(call.payload):
                channel.sendall(block)
            channel.shutdown_write()
    except SSHException as error:
        if deadline.passed:
            raise TimeoutError from error
        raise
    finally:
        watch.cancel()


def _blocks(pieces: tuple[bytes, ...]) -> Iterator[bytes]:
    # paramiko copies what is left of a piece after each packet: a large one would take minutes.
    for piece in pieces:
        for start in range(0, len(piece), _BLOCK):
            yield piece[start : start + _BLOCK]


def _receive(channel: paramiko.Channel, deadline: Deadline) -> bytes:
    pieces = []
    while True:
        channel.settimeout(deadline.left())
        piece = channel.recv(_BLOCK)
        if not piece:
            break
        pieces.append(piece)
    channel.status_event.wait(deadline.left())
    return b"".join(pieces)


def _complaints(channel: paramiko.Channel) -> bytes:
    channel.settimeout(0.0)
    try:
        return channel.recv_stderr(_BLOCK)
    except TimeoutError:
        return b""


def _broken(host: Host) -> HostUnreachable:
    return HostUnreachable(
        f"the connection to {host.instance} broke: what it was told may or may not have begun"
    )
