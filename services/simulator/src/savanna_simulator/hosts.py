"""Simulated hosts: commands with the guarantees of the wrapper on real ones, and no processes.

How a command ends is known when it begins; its end is noticed, in the right order, whenever anyone
asks anything. So a thousand running commands cost nothing while they run.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from savanna_kit.errors import FailedPrecondition, NotFound, Unavailable
from savanna_simulator.shell import Outcome, interpret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_kit.clock import Clock
    from savanna_simulator.behaviors import Behaviors

STOPPED = -15
REMOVED = -9
_NO_EPOCH = -(2**63)


@dataclass(frozen=True)
class Login:
    """Where a host is, and the public key that it must have; an empty one takes any."""

    address: str
    host_key: str = ""


@dataclass(frozen=True)
class RunName:
    """What names a command on a host: the operation that owns it and the key inside it."""

    operation_id: str
    key: str


@dataclass
class Command:
    """A command that has begun: what it was told, and its place in the order of all events."""

    server: str
    name: RunName
    epoch: int
    script: str
    environment: Mapping[str, str]
    outcome: Outcome
    began: float
    begin_order: int
    ended: float = math.inf
    end_order: int = 0
    exit_code: int | None = None
    cut_off: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when it ends before its time, for those who wait for its end."""

    @property
    def ends(self) -> float:
        """When it will end if nobody stops it."""
        return self.began + self.outcome.seconds

    def output(self, now: float) -> bytes:
        """Give all that it has said."""
        until = min(now, self.ended)
        return b"".join(text for at, text in self.outcome.said if self.began + at <= until)


@dataclass(frozen=True)
class Look:
    """A command as it stands, and the seconds until it will have ended."""

    output: bytes
    exit_code: int | None
    seconds_left: float
    cut_off: asyncio.Event

    async def changed(self, patience: float) -> None:
        """Wait until the command must have ended, was cut off, or patience is over."""
        try:
            async with asyncio.timeout(min(patience, self.seconds_left)):
                await self.cut_off.wait()
        except TimeoutError:
            return


@dataclass
class _Run:
    """One key on one host: its latest command, and the highest epoch that has laid hands on it."""

    command: Command | None = None
    owner: int = _NO_EPOCH


@dataclass
class _Host:
    name: str
    opens: float
    key: str
    begun: int = 0
    scripted: Counter[int] = field(default_factory=Counter)
    runs: dict[RunName, _Run] = field(default_factory=dict)


class Hosts:
    """All hosts, by address."""

    def __init__(self, behaviors: Behaviors, clock: Clock, *, kept_commands: int) -> None:
        self._behaviors = behaviors
        self._clock = clock
        self._hosts: dict[str, _Host] = {}
        self._events = 0
        self._records: deque[Command] = deque(maxlen=kept_commands)
        self._ending: list[tuple[float, int, Command]] = []

    def open(self, login: Login, name: str, at: float) -> None:
        """Let a host answer at an address, with a key, from a time on."""
        self._hosts[login.address] = _Host(name, at, login.host_key)

    def close(self, address: str) -> None:
        """Take a host away; its commands end with it."""
        now = self._settle()
        host = self._hosts.pop(address, None)
        for run in host.runs.values() if host else ():
            self._cut_off(run.command, now, REMOVED)

    async def log_in(self, login: Login) -> None:
        """Take the time that a log-in takes; raises ``Unavailable``, and ``FailedPrecondition``."""
        host = self._answering(login, self._settle())
        await asyncio.sleep(self._behaviors.traits(host.name).login_seconds)

    def start(
        self,
        login: Login,
        name: RunName,
        epoch: int,
        *,
        adopt: bool,
        script: str,
        environment: Mapping[str, str],
    ) -> None:
        """Begin a command, or find the one that this epoch owns.

        Raises ``Unavailable``, and ``FailedPrecondition`` when a higher epoch owns it.
        """
        now = self._settle()
        host = self._answering(login, now)
        run = host.runs.setdefault(name, _Run())
        _refuse_older(name, epoch, run.owner)
        is_found = run.command is not None and (epoch == run.owner or adopt)
        run.owner = epoch
        if not is_found:
            self._cut_off(run.command, now, STOPPED)
            run.command = self._begin(host, name, epoch, script, environment, now)

    def look(self, login: Login, name: RunName, *, offset: int, epoch: int = 0) -> Look:
        """Look at a command.

        Raises ``Unavailable``, ``NotFound``, and ``FailedPrecondition`` when an epoch is given and
        a higher one owns the command.
        """
        now = self._settle()
        run = self._answering(login, now).runs.get(name)
        if run is None or run.command is None:
            raise _not_found(login, name)
        if epoch:
            _refuse_older(name, epoch, run.owner)
        command = run.command
        output = command.output(now)[offset:]
        return Look(output, command.exit_code, command.ends - now, command.cut_off)

    def stop(self, login: Login, name: RunName, epoch: int) -> None:
        """Stop a command that this or a lower epoch owns; from then on none of them begins it.

        Raises ``Unavailable``, ``FailedPrecondition`` when a higher epoch owns it, and ``NotFound``
        when it was not there.
        """
        now = self._settle()
        host = self._answering(login, now)
        run = host.runs.setdefault(name, _Run())
        _refuse_older(name, epoch, run.owner)
        run.owner = epoch
        self._cut_off(run.command, now, STOPPED)
        if run.command is None:
            # Its start may still be on the way: it finds that it has been stopped.
            run.command = _never_begun(host.name, name, epoch, now)
            raise _not_found(login, name)

    def commands(self, name_glob: str) -> list[Command]:
        """List what was run on the servers of these names, oldest first."""
        self._settle()
        glob = name_glob or "*"
        return [each for each in self._records if fnmatchcase(each.server, glob)]

    def _answering(self, login: Login, now: float) -> _Host:
        host = self._hosts.get(login.address)
        if host is None or host.opens > now or self._is_silent(host):
            raise Unavailable(f"{login.address} does not answer", reason="HOST_UNREACHABLE")
        if host.key and login.host_key not in ("", host.key):
            raise FailedPrecondition(
                f"another host answers at {login.address}", reason="HOST_KEY_MISMATCH"
            )
        return host

    def _is_silent(self, host: _Host) -> bool:
        traits = self._behaviors.traits(host.name)
        return traits.ssh_dead or 0 < traits.ssh_dies_after <= host.begun

    def _begin(
        self,
        host: _Host,
        name: RunName,
        epoch: int,
        script: str,
        environment: Mapping[str, str],
        now: float,
    ) -> Command:
        host.begun += 1
        outcome = interpret(script, environment).changed(
            slowness=self._behaviors.traits(host.name).slowness,
            exit_code=self._behaviors.scripted_exit_code(host.name, name.key, host.scripted),
        )
        command = Command(
            host.name, name, epoch, script, environment, outcome, now, self._next_event()
        )
        self._records.append(command)
        heapq.heappush(self._ending, (command.ends, command.begin_order, command))
        return command

    def _settle(self) -> float:
        """End what has run its time, in the order of the ends; gives the time."""
        now = self._clock.monotonic()
        while self._ending and self._ending[0][0] <= now:
            _, _, command = heapq.heappop(self._ending)
            if command.exit_code is None:
                self._end(command, command.ends, command.outcome.exit_code)
        return now

    def _cut_off(self, command: Command | None, now: float, exit_code: int) -> None:
        if command is not None and command.exit_code is None:
            self._end(command, now, exit_code)
            command.cut_off.set()

    def _end(self, command: Command, at: float, exit_code: int) -> None:
        command.ended = at
        command.exit_code = exit_code
        command.end_order = self._next_event()

    def _next_event(self) -> int:
        self._events += 1
        return self._events


def _never_begun(server: str, name: RunName, epoch: int, now: float) -> Command:
    """Give a command that was stopped before it began; it is no record."""
    outcome = Outcome(0.0, STOPPED)
    return Command(server, name, epoch, "", {}, outcome, now, 0, ended=now, exit_code=STOPPED)


def _not_found(login: Login, name: RunName) -> NotFound:
    return NotFound(f"{login.address} knows no command {_said(name)}", reason="RUN_NOT_FOUND")


def _refuse_older(name: RunName, epoch: int, owner: int) -> None:
    if epoch < owner:
        raise FailedPrecondition(
            f"epoch {owner} owns the command {_said(name)}; epoch {epoch} is over",
            reason="STALE_EPOCH",
        )


def _said(name: RunName) -> str:
    return f"'{name.key}' of operation '{name.operation_id}'"
