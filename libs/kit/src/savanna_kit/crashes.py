"""Crash points: places where a process can be told, when it starts, to kill itself.

They are for those who prove that nothing is lost whatever dies when, and for nobody else:
``SAVANNA_CRASH_AT=engine.cloud_call.after:3`` has a process end with SIGKILL, as by a power cut,
when it passes that point for the third time. The variable is read once, by ``arm``, and counts
only beside ``SAVANNA_CRASH_ON_PURPOSE=yes``: no process dies by an accident of its environment.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING

from savanna_kit import logs
from savanna_kit.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logs.get_logger(__name__)

POINTS: Mapping[str, str] = {
    "api.call.before": "a user's request has arrived, and nothing is done",
    "api.call.after": "all is done, and the user does not know it yet",
    "conductor.commit.before": "all is written, and not committed",
    "conductor.commit.after": "it is committed, and nobody knows it yet",
    "scheduler.commit.before": "a scheduler has decided, and tells nobody yet",
    "scheduler.commit.after": "the conductor has recorded it, and the scheduler acts on it next",
    "scheduler.send.before": "a hand-out is recorded, and the engine does not know it yet",
    "scheduler.send.after": "the message to the engine waits to be written",
    "engine.send.before": "an engine has something to say, a result perhaps, and says it next",
    "engine.send.after": "it is said",
    "engine.cloud_call.before": "a step is about to call the cloud",
    "engine.cloud_call.after": "the cloud has answered, and nobody knows it yet",
    "engine.remote_start.before": "a step is about to start something on a host",
    "engine.remote_start.after": "the host has answered, and nobody knows it yet",
    "plugin.plan.before": "a plugin is asked for steps",
    "plugin.plan.after": "it has them, and the engine does not yet",
}
"""Every point there is, and what is true when it is passed."""

_AT, _ON_PURPOSE = "SAVANNA_CRASH_AT", "SAVANNA_CRASH_ON_PURPOSE"


class _Armed:
    """The point at which this process dies, and the passes until then."""

    def __init__(self, point: str, passes: int) -> None:
        self.point = point
        self._passes = passes
        # Counts right in several threads.
        self._count: Iterator[int] = itertools.count(1)

    def pass_by(self) -> None:
        """Die, if it is time."""
        if next(self._count) == self._passes:
            os.kill(os.getpid(), signal.SIGKILL)


_armed: _Armed | None = None


def arm(environment: Mapping[str, str]) -> None:
    """Read where this process is to die; called once, by those who run services as processes.

    Raises ``SettingsError`` for a point that does not exist, and when only one of the two
    variables is there.
    """
    # A process has one life to lose: that is a state of the process, whoever runs in it.
    global _armed
    at = environment.get(_AT, "")
    if not at:
        return
    point, _, passes = at.partition(":")
    if environment.get(_ON_PURPOSE) != "yes":
        raise SettingsError(
            f"{_AT}={at} has this process kill itself: remove it, or say {_ON_PURPOSE}=yes"
        )
    if point not in POINTS or not passes.isdecimal() or int(passes) < 1:
        raise SettingsError(
            f"{_AT}={at} names no crash point: give POINT:N with N from 1 and POINT one of "
            f"{', '.join(POINTS)}"
        )
    log.warning("crash_armed", point=point, passes=int(passes))
    _armed = _Armed(point, int(passes))


def here(point: str) -> None:
    """Pass a crash point: nothing happens unless this process was told to die here."""
    if _armed is not None and _armed.point == point:
        _armed.pass_by()
