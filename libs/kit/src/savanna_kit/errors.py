"""The tree of errors: everything that Savanna raises across a room's border, on one screen.

The class says what the caller can do; ``reason`` is for machines, the message is a full sentence
for people. ``savanna_kit.status`` turns them into gRPC status and back, once for all services.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class FieldViolation:
    """One field that must change: its path in the request, what is wrong, and a class for
    machines."""

    field: str
    message: str
    reason: str = "INVALID_VALUE"


@dataclass
class SavannaError(Exception):
    """Base of all errors."""

    message: str
    reason: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[FieldViolation] = ()
    retry_after: float | None = None
    """Seconds after which trying again makes sense; None says nothing."""

    def __post_init__(self) -> None:
        """Give the reason its default, the name of the class in capitals."""
        self.reason = self.reason or _in_capitals(type(self).__name__)

    def __str__(self) -> str:
        return self.message


class InvalidArgument(SavannaError):
    """The request is wrong in itself: change it."""


class NotFound(SavannaError):
    """There is no such thing that the caller may see."""


class AlreadyExists(SavannaError):
    """The name is taken: choose another."""


class FailedPrecondition(SavannaError):
    """The request is right but not now: something else must change first."""


class Aborted(SavannaError):
    """A race was lost: read again, then write again."""


class Unauthenticated(SavannaError):
    """Who asks is not known: give a valid token."""


class PermissionDenied(SavannaError):
    """Who asks is known and may not."""


class ResourceExhausted(SavannaError):
    """A limit or quota is reached."""


class Unavailable(SavannaError):
    """Something does not answer now: the same call may go through later."""


class DeadlineExceeded(SavannaError):
    """The time for the call is over; whether it took effect is not known."""


class Cancelled(SavannaError):
    """The caller gave the call up."""


class Unimplemented(SavannaError):
    """This is not offered; the message says what is."""


class Internal(SavannaError):
    """A fault of Savanna's own: its log, found by the request id, says more."""


def _in_capitals(name: str) -> str:
    return "".join(f"_{each}" if each.isupper() else each.upper() for each in name).lstrip("_")
