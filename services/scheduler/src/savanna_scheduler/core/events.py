"""What the core is told, and what it wants done.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from savanna.conductor.v1 import execution_service_pb2 as execution
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream


@dataclass(frozen=True, slots=True)
class Claimed:
    """An operation is now owned; ``wall`` is the time of day of its arrival by the database's
    clock, in seconds."""

    graph: execution.Graph
    wall: float


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wishes that an owned operation ends."""

    operation_id: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A commit is in the database; its verdicts are told by ``Committed``, before anything is told
    of the next."""

    number: int


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit is stored, with a verdict for each change."""

    number: int
    verdicts: Sequence[execution.Verdict]


@dataclass(frozen=True, slots=True)
class CommitUnknown:
    """Whether a commit was stored is not known: it is sent again under the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class CommitRefused:
    """The conductor can not store a commit, and surely has not; its number is used up."""

    number: int
    error: str


@dataclass(frozen=True, slots=True)
class LeaseLost:
    """This incarnation owns nothing any more."""


@dataclass(frozen=True, slots=True)
class Peers:
    """So many schedulers live, this one among them."""

    number: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time went on."""


@dataclass(frozen=True, slots=True)
class Hello:
    """An engine opened a stream and introduced itself; ``running`` gives epochs by task id,
    ``lease`` is in seconds."""

    session_id: str
    slots: Mapping[str, int]
    running: Mapping[str, int]
    lease: float
    engine_id: str = ""


@dataclass(frozen=True, slots=True)
class Renewed:
    """An engine's lease was renewed, for so many seconds."""

    session_id: str
    lease: float


@dataclass(frozen=True, slots=True)
class Credit:
    """How much an engine takes, by pool: a total."""

    session_id: str
    slots: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Refused:
    """An engine will not do this; it was not begun."""

    session_id: str
    task_id: str
    epoch: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """Results of attempts."""

    session_id: str
    results: Sequence[stream.Result]


@dataclass(frozen=True, slots=True)
class Disconnected:
    """An engine's stream has ended, for whatever reason."""

    session_id: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """An engine's lease is over, by the database's clock."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """An engine is about to go: it takes nothing more."""

    session_id: str


Event = (
    Claimed
    | CancelRequested
    | Stored
    | Committed
    | CommitUnknown
    | CommitRefused
    | LeaseLost
    | Peers
    | Tick
    | Hello
    | Renewed
    | Credit
    | Refused
    | Done
    | Disconnected
    | SessionEnded
    | Leaving
)


@dataclass(frozen=True, slots=True)
class Commit:
    """Record decisions; answered by Committed (and Stored before it), CommitUnknown, CommitRefused
    or LeaseLost."""

    number: int
    changes: Sequence[execution.Change]


@dataclass(frozen=True, slots=True)
class Send:
    """Write a message to an engine's stream."""

    session_id: str
    message: stream.ConnectResponse


@dataclass(frozen=True, slots=True)
class Abandon:
    """Forget everything and start again as a new incarnation: the database is right."""

    reason: str


Command = Commit | Send | Abandon


def claimed(answer: execution.ClaimResponse) -> list[Event]:
    """Give what a claim brought."""
    wall = answer.time.ToMicroseconds() / 1_000_000
    return [
        *(Claimed(graph, wall) for graph in answer.graphs),
        *(CancelRequested(operation_id) for operation_id in answer.cancels),
    ]
