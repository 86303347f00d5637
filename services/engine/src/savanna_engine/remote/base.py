"""The narrow waist between steps and hosts: commands that outlive their caller.

A run is a script on a host, named by operation and key, and fenced by an epoch. It is detached from
whoever started it: a caller that dies leaves it running, a later caller finds it again. The same
for every channel, real or simulated; one conformance suite proves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Host:
    """Where a host is and how to be sure that it is the right one.

    ``host_key`` is its public key, pinned.
    """

    instance: str
    address: str
    port: int
    user: str
    host_key: str
    private_key: str = field(repr=False)


@dataclass(frozen=True)
class RemoteFile:
    """A file to put in place before the script starts; a relative path lies in the run's working
    directory."""

    path: str
    content: bytes
    mode: int = 0o600


@dataclass(frozen=True)
class RunId:
    """Names a run on a host.

    The epoch fences it: a lower one is refused, a higher one takes its place.
    """

    operation_id: str
    key: str
    epoch: int


@dataclass(frozen=True)
class Command:
    """A script with all it needs.

    ``adopt`` takes over a run of a lower epoch instead of stopping it (jobs).
    """

    script: str
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[RemoteFile] = ()
    adopt: bool = False
    split_streams: bool = False
    """Keep standard error apart from standard output; otherwise both go to the output, in order."""


@dataclass(frozen=True)
class RunState:
    """How a run stands: new output since the asked positions, and the exit code once it has
    ended."""

    output: bytes = b""
    errors: bytes = b""
    exit_code: int | None = None


class Remote(Protocol):
    """A channel to hosts.

    Synchronous and safe to call from several threads, for the ``ssh`` executor. Raises
    ``HostUnreachable`` (retryable), ``HostKeyMismatch``, ``StaleEpoch`` (a higher epoch owns the
    run), ``RunNotFound``, and ``RunLost`` for a run that a restart of the host broke off: a higher
    epoch starts it anew.
    """

    def check(self, host: Host, timeout: float) -> None:
        """Log in and do nothing; raises ``HostUnreachable`` when the host does not answer in
        time."""

    def run(self, host: Host, run: RunId, command: Command, timeout: float) -> RunState:
        """Start or re-attach, and wait for the end in one round trip; the whole output and the exit
        code.

        Raises ``RunTimeout`` after ``timeout`` seconds; the run is stopped first.
        """

    def start(self, host: Host, run: RunId, command: Command, timeout: float) -> None:
        """Start or find the run, and return at once."""

    def poll(
        self, host: Host, run: RunId, *, output_offset: int, errors_offset: int, timeout: float
    ) -> RunState:
        """Look at a run; the epoch is not checked, for a look changes nothing.

        An offset beyond the end of a stream brings nothing of it.
        """

    def stop(self, host: Host, run: RunId, timeout: float) -> None:
        """Stop the whole process group of a run of this or a lower epoch and wait until it is
        gone."""

    def forget(self, host_address: str) -> None:
        """Drop pooled connections to a host that is gone."""

    def close(self) -> None:
        """Close all connections; runs go on."""
