"""The channel to simulated hosts, over the simulator's gRPC service.

The simulator's shell understands ``sleep``, ``echo`` and ``exit``; files are accepted and not kept,
and standard error is not kept apart. Nobody logs in: of a host's keys only its public one counts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration

from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_engine.remote.base import RunState
from savanna_engine.remote.errors import (
    HostKeyMismatch,
    HostUnreachable,
    RemoteError,
    RunNotFound,
    RunTimeout,
    StaleEpoch,
)
from savanna_kit import status
from savanna_kit.channels import MAX_MESSAGE, BlockingStub
from savanna_kit.interceptors import outgoing_metadata

if TYPE_CHECKING:
    from savanna_engine.remote.base import Command, Host, RunId
    from savanna_kit.channels import Peer

    Q = TypeVar("Q")
    A = TypeVar("A")

_CALL_SECONDS = 10.0
_LOOK_SECONDS = 10.0
_STOPPED = 128 + 15
_REASONS = {
    each.reason: each for each in (HostKeyMismatch, HostUnreachable, RunNotFound, StaleEpoch)
}
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class SimulatedRemote:
    """Hosts of the simulator at an address, "host:port" or "unix:/path"."""

    def __init__(self, address: str, peer: Peer | None = None) -> None:
        self._calls = BlockingStub(stubs.SimulatedHostServiceStub, address, _OPTIONS, peer)

    @property
    def _stub(self) -> stubs.SimulatedHostServiceStub:
        return self._calls.current()

    def check(self, host: Host, timeout: float) -> None:
        """Look for a command that is not there: a host that says so answers."""
        request = messages.PollCommandRequest(address=host.address, host_key=host.host_key)
        try:
            _ask(self._stub.PollCommand, request, timeout)
        except RunNotFound:
            return

    def run(self, host: Host, run: RunId, command: Command, timeout: float) -> RunState:
        """Start or find, then wait: two calls when the command ends soon."""
        deadline = time.monotonic() + timeout
        self.start(host, run, command, min(timeout, _CALL_SECONDS))
        output = b""
        while True:
            left = max(0.0, deadline - time.monotonic())
            state = self._look(host, run, offset=len(output), wait=left, epoch=run.epoch)
            output += state.output
            if state.exit_code is not None:
                return RunState(output, exit_code=state.exit_code)
            if not left:
                return self._stop_late(host, run, timeout)

    def start(self, host: Host, run: RunId, command: Command, timeout: float) -> None:
        """Start or find the run."""
        request = messages.StartCommandRequest(
            address=host.address,
            host_key=host.host_key,
            operation_id=run.operation_id,
            key=run.key,
            epoch=run.epoch,
            adopt=command.adopt,
            script=command.script,
            environment=command.environment,
        )
        _ask(self._stub.StartCommand, request, timeout)

    def poll(
        self, host: Host, run: RunId, *, output_offset: int, errors_offset: int, timeout: float
    ) -> RunState:
        """Look at a run, without waiting."""
        del errors_offset
        return self._look(host, run, offset=output_offset, timeout=timeout)

    def stop(self, host: Host, run: RunId, timeout: float) -> None:
        """Stop a run."""
        request = messages.StopCommandRequest(
            address=host.address,
            host_key=host.host_key,
            operation_id=run.operation_id,
            key=run.key,
            epoch=run.epoch,
        )
        _ask(self._stub.StopCommand, request, timeout)

    def forget(self, host_address: str) -> None:
        """Do nothing: all hosts share one channel."""

    def close(self) -> None:
        """Close the channel."""
        self._calls.close()

    def _stop_late(self, host: Host, run: RunId, timeout: float) -> RunState:
        """Stop a run that took too long; its state, if it ended by itself just now."""
        self.stop(host, run, _CALL_SECONDS)
        state = self._look(host, run, offset=0, epoch=run.epoch)
        if state.exit_code == _STOPPED:
            message = f"'{run.key}' on {host.instance} did not end in {timeout:g} s and was stopped"
            raise RunTimeout(message, state.output)
        return state

    def _look(
        self,
        host: Host,
        run: RunId,
        *,
        offset: int,
        wait: float = 0.0,
        epoch: int = 0,
        timeout: float = _CALL_SECONDS,
    ) -> RunState:
        wait = min(wait, _LOOK_SECONDS)
        request = messages.PollCommandRequest(
            address=host.address,
            host_key=host.host_key,
            operation_id=run.operation_id,
            key=run.key,
            offset=offset,
            wait=Duration(seconds=int(wait), nanos=int(wait % 1 * 1e9)),
            epoch=epoch,
        )
        # A wait that breaks off is the caller's to take up again.
        ask = _ask_once if wait else _ask
        answer = ask(self._stub.PollCommand, request, wait + timeout)
        exit_code = answer.exit_code if answer.HasField("exit_code") else None
        if exit_code is not None and exit_code < 0:
            # The simulator names the signal; the shell of a real host adds it to 128.
            exit_code = 128 - exit_code
        return RunState(answer.output, exit_code=exit_code)


class _Broken(HostUnreachable):
    """The simulator itself was not reached, or the connection to it broke."""


def _ask(call: grpc.UnaryUnaryMultiCallable[Q, A], request: Q, timeout: float) -> A:
    """Call; once more when it was the connection that failed, for that shows only in use."""
    try:
        return _ask_once(call, request, timeout)
    except _Broken:
        return _ask_once(call, request, timeout)


def _ask_once(call: grpc.UnaryUnaryMultiCallable[Q, A], request: Q, timeout: float) -> A:
    try:
        return call(request, timeout=timeout, metadata=tuple(outgoing_metadata()))
    except grpc.RpcError as failure:
        raise _remote_error(failure) from failure


def _remote_error(failure: grpc.RpcError) -> RemoteError:
    error = status.from_rpc_error(failure)
    if error.reason in _REASONS:
        return _REASONS[error.reason](error.message)
    is_broken = failure.code() is grpc.StatusCode.UNAVAILABLE
    return (_Broken if is_broken else HostUnreachable)(error.message)
