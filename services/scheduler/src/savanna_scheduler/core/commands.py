"""What the core wants done. The driver does it, and reports back with an event where there is something to report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.conductor.v1 import execution_service_pb2 as execution
    from savanna.scheduler.v1 import scheduler_service_pb2 as frames


@dataclass(frozen=True, slots=True)
class Claim:
    """Ask for operations; answered by Claimed or ClaimFailed. ``max_operations`` of 0 asks for news of cancels alone."""

    max_operations: int
    known_cancels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Commit:
    """Record decisions; answered by Committed, CommitUnknown, CommitRefused or LeaseLost."""

    number: int
    changes: Sequence[execution.Change]


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew leases of sessions; answered by Renewed or RenewUnknown."""

    sessions: Sequence[execution.Session]


@dataclass(frozen=True, slots=True)
class Send:
    """Write a frame to a stream."""

    stream: int
    message: frames.ConnectResponse


class CloseReason(StrEnum):
    """Why a stream is closed."""

    SESSION_OVER = "session_over"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True)
class Close:
    """Close a stream."""

    stream: int
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Abandon:
    """Forget everything and start as a new incarnation; release the old one first, if it may still own something."""

    reason: str
    release: bool


@dataclass(frozen=True, slots=True)
class HandOver:
    """All that was decided is stored: give up the lease so that others go on at once."""


Command = Claim | Commit | Renew | Send | Close | Abandon | HandOver
