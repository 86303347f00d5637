"""What the core is told. Frames of engines keep the contract's messages; times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.conductor.v1 import execution_service_pb2 as execution
    from savanna.scheduler.v1 import scheduler_service_pb2 as frames


@dataclass(frozen=True, slots=True)
class Claimed:
    """Operations that are now owned, and news of cancels. ``wall`` is the time of day, in seconds, when it arrived."""

    graphs: Sequence[execution.Graph]
    cancels: Sequence[str]
    wall: float


@dataclass(frozen=True, slots=True)
class ClaimFailed:
    """A claim did not reach the conductor, or its answer was lost: something may have been given."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit is stored, with a verdict for each change."""

    number: int
    verdicts: Sequence[execution.Verdict]


@dataclass(frozen=True, slots=True)
class CommitUnknown:
    """Whether a commit was stored is not known."""

    number: int


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """A commit was surely not stored, and the same commit never will be."""

    number: int
    message: str


@dataclass(frozen=True, slots=True)
class Renewed:
    """Leases of sessions were renewed, for ``lease`` seconds; the ``ended`` ones are over for good."""

    ended: frozenset[str]
    lease: float


@dataclass(frozen=True, slots=True)
class RenewUnknown:
    """Whether leases were renewed is not known."""


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """This incarnation owns nothing any more."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The process is to end: hand over."""


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on."""


@dataclass(frozen=True, slots=True)
class Hello:
    """An engine opened a stream and introduced itself."""

    stream: int
    message: frames.Hello


@dataclass(frozen=True, slots=True)
class Credit:
    """How much an engine takes."""

    stream: int
    message: frames.Credit


@dataclass(frozen=True, slots=True)
class Accepted:
    """An engine has begun these."""

    stream: int
    message: frames.Accepted


@dataclass(frozen=True, slots=True)
class Refused:
    """An engine will not do this."""

    stream: int
    message: frames.Refused


@dataclass(frozen=True, slots=True)
class Done:
    """Results."""

    stream: int
    message: frames.Done


@dataclass(frozen=True, slots=True)
class Beat:
    """An engine lives."""

    stream: int
    message: frames.Beat


@dataclass(frozen=True, slots=True)
class Goodbye:
    """An engine is about to leave."""

    stream: int
    message: frames.Goodbye


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A stream has ended, for whatever reason."""

    stream: int


Event = (
    Claimed
    | ClaimFailed
    | Committed
    | CommitUnknown
    | CommitRefused
    | Renewed
    | RenewUnknown
    | LeaseLost
    | Stop
    | Tick
    | Hello
    | Credit
    | Accepted
    | Refused
    | Done
    | Beat
    | Goodbye
    | Disconnected
)
