"""What can go wrong with a host: one screen."""

from __future__ import annotations


class RemoteError(Exception):
    """Base of all errors of channels to hosts; ``reason`` is machine-readable, the text is for the
    user."""

    reason = "REMOTE_ERROR"
    retryable = False


class HostUnreachable(RemoteError):
    """The host did not answer in time, or the connection broke: a command may or may not have
    begun."""

    reason = "HOST_UNREACHABLE"
    retryable = True


class HostKeyMismatch(RemoteError):
    """Another host answers at this address than the one that was made."""

    reason = "HOST_KEY_MISMATCH"


class StaleEpoch(RemoteError):
    """A later attempt owns this run: the caller has been replaced and must stop."""

    reason = "STALE_EPOCH"


class RunNotFound(RemoteError):
    """The host knows no such run."""

    reason = "RUN_NOT_FOUND"


class RunTimeout(RemoteError):
    """The command did not end in time and was stopped."""

    reason = "COMMAND_TIMED_OUT"
    retryable = True

    def __init__(self, message: str, output: bytes = b"") -> None:
        super().__init__(message)
        self.output = output


class RunLost(RemoteError):
    """The run neither goes on nor has ended: the host broke it off, by a restart perhaps."""

    reason = "RUN_LOST"
    retryable = True


class FarSideFailed(RemoteError):
    """The host answered, but could not do what it was asked for: no space left, for example."""

    reason = "FAR_SIDE_FAILED"
    retryable = True
