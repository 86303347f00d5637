"""How bad the world is, and which parts of the system stand in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna_engine.core import SessionCore
from savanna_scheduler.core.scheduler import SchedulerCore

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCIDENTS = {
    "engines killed": 3,
    "all engines killed": 1,
    "engines frozen": 3,
    "engines cut off": 3,
    "engines drained": 2,
    "schedulers killed": 2,
    "schedulers frozen": 2,
    "schedulers cut off": 2,
    "schedulers without conductor": 1,
    "schedulers drained": 1,
    "everything killed": 1,
    "conductor down": 1,
    "conductor slow": 1,
    "streams gone silent": 1,
    "cancels": 2,
    "operations submitted": 4,
}
"""What goes wrong on a large scale, and how often compared with the rest."""


class BrokenPromiseError(AssertionError):
    """Something happened that never may."""


@dataclass(frozen=True)
class Faults:
    """Probabilities of small faults, how often large ones come, and what is left out of the system
    to see that it is noticed."""

    until: float = 40.0
    """Seconds after which nothing more goes wrong."""

    patience: float = 60.0
    """After that something is recorded at least so often, until every operation has ended."""

    accident_every: float = 1.5
    """Mean seconds between deaths, pauses, outages, cancels and the like."""

    accidents: Mapping[str, int] = field(default_factory=lambda: ACCIDENTS)
    long_steps: float = 0.1
    """The share of steps that take much longer than a lease."""

    longest_pause: float = 12.0
    """Two leases."""

    call_fails: float = 0.04
    reply_lost: float = 0.04
    call_late: float = 0.03
    """A call whose caller has given up, and that arrives after all: maybe behind its successor."""

    unstorable: float = 0.005
    """The share of decisions that the conductor can not store, and answers with a fault."""

    answer_breaks: float = 0.002
    """Commits that are stored, and whose caller is told of a fault all the same."""

    stream_breaks: float = 0.006
    goes_silent: float = 0.001
    """A stream that carries nothing more, and nobody knows for a while."""

    said_twice: float = 0.03
    overtaken: float = 0.03
    slow: float = 0.02

    scheduler_core: type[SchedulerCore] = SchedulerCore
    engine_core: type[SessionCore] = SessionCore
    checks_epochs: bool = True
    checks_owners: bool = True
    asks_sessions: bool = True
    """Whether a task is taken back from a silent engine only when its session is over."""

    keeps_keys: bool = True
    """Whether a key that is stored is left as it is."""

    guards_hosts: bool = True
    renews_before_it_says_so: bool = True
    """Whether a beat is acknowledged only when the lease is renewed."""
