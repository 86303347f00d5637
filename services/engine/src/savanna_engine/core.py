"""The decisions of a session: what begins, what stops, what is owed, and when all must end.

Each method is something that happened at a time, and gives the commands that follow, in order. No
clock, no network, no attempt of its own: a simulation can drive it as well as an engine.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_kit import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Ref = tuple[str, int]

log = logs.get_logger(__name__)
KEEP_SECONDS = 120.0
"""A result that nobody acknowledges for so long belongs to an operation that is over."""

RESEND_SECONDS = 1.0
_UNFENCED = 3600.0
_REMEMBERED = 20_000
"""Tasks whose ended attempts are known, should an offer of them come late."""


@dataclass(frozen=True, slots=True)
class Start:
    """Make an attempt; ``ended`` must follow, in whatever way it ends."""

    assignment: stream.Assignment


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an attempt that was started; it is said once."""

    ref: stream.AttemptRef


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something to every scheduler."""

    message: stream.ConnectRequest


Command = Start | Stop | Tell


@dataclass
class _Attempt:
    """An attempt that is wanted."""

    assignment: stream.Assignment
    received: float
    is_owed: bool = True
    """Whether anyone waits for its result."""

    is_stopping: bool = False

    @property
    def ref(self) -> stream.AttemptRef:
        return self.assignment.attempt

    def stop(self) -> list[Command]:
        """Stop it, once: a second time would cut its own stopping short."""
        if self.is_stopping:
            return []
        self.is_stopping = True
        return [Stop(self.ref)]


@dataclass
class _Owed:
    """A result that is not acknowledged."""

    result: stream.Result
    since: float
    resend_at: float


class SessionCore:
    """Everything that one session of an engine knows and decides; times are monotonic seconds of
    its own process."""

    def __init__(self, knows: Callable[[str], bool], now: float) -> None:
        self.is_over = False
        self.is_leaving = False
        self._knows = knows
        self._begun: dict[str, _Attempt] = {}
        self._next: dict[str, _Attempt] = {}
        """Attempts that wait until an older one of their task has stopped."""

        self._owed: dict[Ref, _Owed] = {}
        self._past: OrderedDict[str, int] = OrderedDict()
        self._heard = now
        self._fence = _UNFENCED
        self._beats: dict[int, float] = {}
        self._beat = 0

    # What runs.

    @property
    def is_idle(self) -> bool:
        """Say whether nothing runs and every result is stored."""
        return not (self._begun or self._next or self._owed)

    @property
    def owed(self) -> int:
        """Count the results that are not acknowledged."""
        return len(self._owed)

    def running(self) -> list[stream.AttemptRef]:
        """List attempts under way, and those whose results are not acknowledged."""
        newest = {**self._begun, **self._next}.values()
        refs = [_key(each.ref) for each in newest]
        return [
            stream.AttemptRef(task_id=task_id, epoch=epoch)
            for task_id, epoch in [*refs, *self._owed]
        ]

    def offered(self, assignments: Iterable[stream.Assignment], now: float) -> list[Command]:
        """Begin attempts; those that are known already go on as they are.

        One with a higher epoch takes the place of an older one, once that has stopped. One that has
        ended here is never begun again: a scheduler that slept may offer it long after its task was
        given to another engine. A session that finds itself fenced is over at once: its scheduler
        will offer it nothing more.
        """
        commands = self.end() if self._is_fenced(now) else []
        for each in assignments:
            commands += self._offered(each, now)
        return _with_acceptances(commands)

    def cancelled(self, refs: Iterable[stream.AttemptRef], now: float) -> list[Command]:
        """Stop attempts; each answers with a result that says so, also one that is not known: then
        its offer was lost, and it will not be begun."""
        commands: list[Command] = []
        for ref in refs:
            attempt = self._begun.get(ref.task_id)
            if attempt is not None and attempt.ref == ref:
                commands += attempt.stop()
            elif _key(ref) not in self._owed and not self.is_over:
                self._withdraw(ref)
                commands.append(self._owe(_cancelled(ref), now))
        return commands

    def dropped(self, refs: Iterable[stream.AttemptRef]) -> list[Command]:
        """Stop attempts that belong to nobody, and owe nothing for them."""
        commands: list[Command] = []
        for ref in refs:
            self._owed.pop(_key(ref), None)
            self._withdraw(ref)
            attempt = self._begun.get(ref.task_id)
            if attempt is not None and attempt.ref == ref:
                attempt.is_owed = False
                commands += attempt.stop()
        return commands

    def acknowledged(self, refs: Iterable[stream.AttemptRef]) -> None:
        """Forget results that are stored."""
        for ref in refs:
            self._owed.pop(_key(ref), None)

    def ended(self, result: stream.Result, now: float) -> list[Command]:
        """Take the result of an attempt that was started."""
        attempt = self._begun.pop(result.attempt.task_id)
        self._note_past(result.attempt)
        if self.is_over:
            return []
        commands = [self._owe(result, now)] if attempt.is_owed else []
        following = self._next.pop(result.attempt.task_id, None)
        if following is None:
            return commands
        return [*commands, *_with_acceptances(self._begin(following, now))]

    def end(self) -> list[Command]:
        """Stop everything, for good."""
        self.is_over = True
        self._next.clear()
        return [command for each in self._begun.values() for command in each.stop()]

    # The lease.

    def fence_after(self, seconds: float, since: float) -> None:
        """Learn how long the session may go unheard; its lease was surely renewed after
        ``since``."""
        self._fence = seconds
        self._heard = max(self._heard, since)

    def next_beat(self, now: float) -> stream.ConnectRequest:
        """Make a beat."""
        self._beats = {n: sent for n, sent in self._beats.items() if now - sent <= self._fence}
        self._beat += 1
        self._beats[self._beat] = now
        return stream.ConnectRequest(beat=stream.Beat(number=self._beat))

    def heard(self, number: int) -> None:
        """Note that the lease was renewed after a beat was sent."""
        self._heard = max(self._heard, self._beats.get(number, self._heard))
        for each in [each for each in self._beats if each <= number]:
            del self._beats[each]

    def tick(self, now: float) -> list[Command]:
        """End all when the session was not heard for too long; else send again what is not
        acknowledged: the operation may have another scheduler by now."""
        if self._is_fenced(now):
            return self.end()
        due = []
        for ref, owed in list(self._owed.items()):
            if now - owed.since > KEEP_SECONDS:
                log.warning("result_unwanted", task_id=ref[0], epoch=ref[1])
                del self._owed[ref]
            elif now >= owed.resend_at:
                owed.resend_at = now + RESEND_SECONDS
                due.append(owed.result)
        return [Tell(stream.ConnectRequest(done=stream.Done(results=due)))] if due else []

    def margin(self, now: float) -> float:
        """Give the seconds until it must end, should it not be heard before."""
        return self._heard + self._fence - now

    def debts(self) -> stream.ConnectRequest | None:
        """Give everything that is owed, for a scheduler that may not know of it."""
        results = [owed.result for owed in self._owed.values()]
        return stream.ConnectRequest(done=stream.Done(results=results)) if results else None

    # Small things.

    def _is_fenced(self, now: float) -> bool:
        return now - self._heard > self._fence

    def _refusal(self, assignment: stream.Assignment) -> str:
        if self.is_over:
            return "FENCED"
        if self.is_leaving:
            return "DRAINING"
        if self._past.get(assignment.attempt.task_id, 0) >= assignment.attempt.epoch:
            return "STALE_OFFER"
        return "" if self._knows(assignment.kind) else "UNKNOWN_KIND"

    def _offered(self, assignment: stream.Assignment, now: float) -> list[Command]:
        ref = assignment.attempt
        begun = self._begun.get(ref.task_id)
        newest = self._next.get(ref.task_id, begun)
        if _key(ref) in self._owed or (newest is not None and newest.ref.epoch >= ref.epoch):
            return []
        if reason := self._refusal(assignment):
            return [self._refuse(ref, reason)]
        if begun is None:
            return self._begin(_Attempt(assignment, now), now)
        self._next[ref.task_id] = _Attempt(assignment, now)
        begun.is_owed = False
        return begun.stop()

    def _begin(self, attempt: _Attempt, now: float) -> list[Command]:
        assignment, waited = attempt.assignment, now - attempt.received
        is_limited = waited > 0 and assignment.HasField("offer_ttl")
        if is_limited and waited > assignment.offer_ttl.ToMilliseconds() / 1000:
            return [self._refuse(attempt.ref, "STALE_OFFER")]
        self._begun[attempt.ref.task_id] = attempt
        return [Start(assignment)]

    def _withdraw(self, ref: stream.AttemptRef) -> None:
        waiting = self._next.get(ref.task_id)
        if waiting is not None and waiting.ref == ref:
            del self._next[ref.task_id]
            self._note_past(ref)

    def _owe(self, result: stream.Result, now: float) -> Command:
        self._note_past(result.attempt)
        self._owed[_key(result.attempt)] = _Owed(result, now, now + RESEND_SECONDS)
        message = stream.ConnectRequest()
        message.done.results.append(result)
        return Tell(message)

    def _refuse(self, ref: stream.AttemptRef, reason: str) -> Command:
        self._note_past(ref)
        refused = stream.Refused(attempt=ref, reason=reason)
        return Tell(stream.ConnectRequest(refused=refused))

    def _note_past(self, ref: stream.AttemptRef) -> None:
        self._past[ref.task_id] = max(ref.epoch, self._past.get(ref.task_id, 0))
        self._past.move_to_end(ref.task_id)
        if len(self._past) > _REMEMBERED:
            self._past.popitem(last=False)


def _with_acceptances(commands: list[Command]) -> list[Command]:
    """Say first what begins, all in one message."""
    begun = [each.assignment.attempt for each in commands if isinstance(each, Start)]
    if not begun:
        return commands
    return [Tell(stream.ConnectRequest(accepted=stream.Accepted(attempts=begun))), *commands]


def _key(ref: stream.AttemptRef) -> Ref:
    return ref.task_id, ref.epoch


def _cancelled(ref: stream.AttemptRef) -> stream.Result:
    return stream.Result(attempt=ref, cancelled=stream.Cancelled())
