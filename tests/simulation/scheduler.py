"""A scheduler: the real core, and around it what ``Incarnation`` and ``Engines`` do."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.simulation.conductor import FaultError
from tests.simulation.process import Process
from tests.unit.scheduler.consistency import check
from tests.unit.scheduler.database import LeaseLostError, OutOfOrderError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.conductor import Failed
    from tests.simulation.streams import Link
    from tests.simulation.world import World

_HAND_OVER_SECONDS = 1.0


class SimulatedScheduler(Process):
    """One incarnation."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.id = name
        # Small commits, sometimes: nothing must need to be recorded together that is not joined.
        policy = Policy(
            commit_changes=world.chance.choice((3, 500)),
            shared_commit_changes=world.chance.choice((2, 500)),
            spawn_part=world.chance.choice((1, 3, 1000)),
            shared_spawn_part=world.chance.choice((1, 2, 1000)),
            looked_at=world.chance.choice((1, 500)),
            distrust_accidents=world.chance.choice((1, 2, 3)),
        )
        self.core = world.faults.scheduler_core(name, policy, Random(name))
        self.links: dict[str, Link] = {}
        self._beats: dict[str, int] = {}
        self._is_renewing = False
        self._is_committing = False
        self._arrived: events.Committed | None = None
        self._is_handing_over = False
        self._is_living = False
        self._due: float | None = None
        self._renew()

    # Its core.

    def feed(self, event: events.Event) -> None:
        """Tell the core, and do what it wants."""
        if not self.alive:
            return
        for command in self.core.handle(event, self.clock()):
            if isinstance(command, events.Commit):
                self._begin_commit(command)
            elif isinstance(command, events.Send):
                self._send(command.session_id, command.message)
            else:
                self.world.note(self.name, f"begins anew: {command.reason}")
                self.end(releases=True)
                return
        check(self.core)
        due = self.core.next_timer()
        if due != self._due:
            self._due = due
            if due is not None:
                self.after(max(1e-6, due - self.clock()), partial(self._tick, due))

    def _tick(self, due: float) -> None:
        if due == self._due:
            self._due = None
            self.feed(events.Tick())

    def _send(self, session_id: str, message: stream.ConnectResponse) -> None:
        if session_id in self.links:
            self.world.checker.sent(session_id, message)
            if message.HasField("distrust"):
                self.world.met["distrusted"] += 1
            self.links[session_id].say_down(message)

    # Its end.

    def die(self) -> None:
        """Die at once."""
        self.alive = False
        self.cut(list(self.links.values()))

    def leave(self) -> None:
        """End in order: let the commit under way arrive, then let others go on at once."""
        self._is_handing_over = True
        if self._is_committing:
            self.after(_HAND_OVER_SECONDS, partial(self.end, releases=True))
        else:
            self.end(releases=True)

    def end(self, *, releases: bool) -> None:
        """End this life; another follows."""
        if self.alive:
            if releases:
                self._ask(lambda: self.world.database.release(self.id), lambda _: None)
            self.world.replace_scheduler(self, self.world.chance.uniform(0.05, 0.2))

    # The conductor.

    def _ask(self, do: Callable[[], None], then: Callable[[None], None]) -> None:
        self.world.conductor.call(self, do, then, self._not_told)

    def _not_told(self, error: Failed) -> None:
        if isinstance(error, LeaseLostError):
            self.feed(events.LeaseLost())

    def _renew(self) -> None:
        self._ask(lambda: self.world.database.renew_scheduler(self.id), self._renewed)
        self.after(self.world.database.lease / 4, self._renew)

    def _renewed(self, _: None) -> None:
        self.feed(events.Peers(max(1, len(self.world.conductor.schedulers()))))
        if not self._is_living:
            self._is_living = True
            self._claim()

    def _claim(self) -> None:
        if self._is_handing_over:
            return
        graphs = self.core.operations.values()
        known = {each.id for each in graphs if each.operation.cancel_requested}
        # It waits long for each answer, so that its calls are fewer than they look here.
        self.world.conductor.call(
            self,
            lambda: self.world.conductor.claim(self.id, known),
            self._claimed,
            self._unclaimed,
            weight=0.2,
        )

    def _claimed(self, answer: execution.ClaimResponse) -> None:
        if answer.graphs:
            owned = ", ".join(each.operation.id for each in answer.graphs)
            self.world.note(self.name, f"owns {owned}")
        for event in events.claimed(answer):
            self.feed(event)
        self.after(0.3, self._claim)

    def _unclaimed(self, error: Failed) -> None:
        # The answer may have been lost on its way, with operations in it that nobody would do.
        self.world.note(self.name, f"has no answer to its claim: {error!r}")
        self.end(releases=not isinstance(error, LeaseLostError))

    def _begin_commit(self, command: events.Commit) -> None:
        if self._is_handing_over and not self._is_committing:
            return
        self._is_committing = True
        request = execution.CommitRequest(
            scheduler_id=self.id, number=command.number, changes=command.changes
        )
        self.world.conductor.call(
            self,
            lambda: self.world.conductor.commit(request),
            partial(self._committed, command.number),
            partial(self._not_committed, command.number),
            timeout=20.0,
        )

    def _committed(self, number: int, answer: execution.CommitResponse) -> None:
        self._look_at_verdicts()
        self._is_committing = False
        self._arrived = events.Committed(number, list(answer.verdicts))
        self.feed(events.Stored(number))
        if self._is_committing:
            self.after(self.world.chance.uniform(0.0, 0.02), self._look_at_verdicts)
        else:
            self._look_at_verdicts()
        if self._is_handing_over and not self._is_committing:
            self.end(releases=True)

    def _look_at_verdicts(self) -> None:
        """Tell what the last answer said: at the latest before anything is known of the next."""
        arrived, self._arrived = self._arrived, None
        if arrived is not None:
            self.feed(arrived)

    def _not_committed(self, number: int, error: Failed) -> None:
        self._look_at_verdicts()
        if isinstance(error, LeaseLostError):
            self.feed(events.LeaseLost())
        elif isinstance(error, OutOfOrderError):
            self.end(releases=True)
        elif isinstance(error, FaultError):
            self._make_void(number)
        else:
            pause = self.world.chance.uniform(0.05, 0.5)
            self.after(pause, partial(self.feed, events.CommitUnknown(number)))

    def _make_void(self, number: int) -> None:
        def settled(answer: execution.CommitResponse) -> None:
            if answer.verdicts:
                self._committed(number, answer)
                return
            self._is_committing = False
            self.feed(events.CommitRefused(number, "a fault"))
            if self._is_handing_over and not self._is_committing:
                self.end(releases=True)

        def failed(error: Failed) -> None:
            if isinstance(error, LeaseLostError):
                self.feed(events.LeaseLost())
            else:
                pause = self.world.chance.uniform(0.05, 0.5)
                self.after(pause, partial(self._make_void, number))

        self.world.conductor.call(
            self, lambda: self.world.conductor.void(self.id, number), settled, failed, timeout=20.0
        )

    # Engines.

    def hear(self, message: stream.ConnectRequest, link: Link) -> None:
        """Take a message of an engine."""
        session_id = link.session.id
        kind = message.WhichOneof("message")
        if kind == "hello":
            self._greet(message.hello, link)
        elif self.links.get(session_id) is not link:
            return
        elif kind == "done":
            self.feed(events.Done(session_id, list(message.done.results)))
        elif kind == "refused":
            ref, reason = message.refused.attempt, message.refused.reason
            self.feed(events.Refused(session_id, ref.task_id, ref.epoch, reason))
        elif kind == "beat":
            self._beats[session_id] = message.beat.number
            self._renew_sessions()
        elif kind == "credit":
            self.feed(events.Credit(session_id, dict(message.credit.slots)))
        elif kind == "goodbye":
            self.feed(events.Leaving(session_id))

    def _greet(self, hello: stream.Hello, link: Link) -> None:
        session_id = hello.session_id

        def renewed(ended: list[str]) -> None:
            if ended:
                link.is_refused = True
                link.break_off()
                return
            if (older := self.links.get(session_id)) is not None:
                older.break_off()
            self.links[session_id] = link
            running = {each.task_id: each.epoch for each in hello.running}
            slots = dict(hello.credit.slots)
            lease = self.world.database.lease
            self.feed(events.Hello(session_id, slots, running, lease, hello.engine_id))
            if not link.is_open:
                self.link_ended(link)

        self.world.conductor.call(
            self,
            lambda: self.world.conductor.renew([session_id]),
            renewed,
            lambda _: link.break_off(),
        )

    def link_ended(self, link: Link) -> None:
        """Learn that a stream has ended."""
        if self.links.get(link.session.id) is link:
            del self.links[link.session.id]
            self.feed(events.Disconnected(link.session.id))

    def _renew_sessions(self) -> None:
        if not self.world.faults.renews_before_it_says_so:
            for session_id, number in self._beats.items():
                self._acknowledge_beat(session_id, number)
        if self._is_renewing or not self._beats:
            return
        self._is_renewing = True
        beats, self._beats = self._beats, {}
        self.world.conductor.call(
            self,
            lambda: self.world.conductor.renew(list(beats)),
            partial(self._sessions_renewed, beats),
            lambda _: self._sessions_renewed({}, []),
        )

    def _sessions_renewed(self, beats: dict[str, int], ended: list[str]) -> None:
        self._is_renewing = False
        for session_id, number in beats.items():
            if session_id in ended:
                if (link := self.links.pop(session_id, None)) is not None:
                    link.break_off()
                self.feed(events.SessionEnded(session_id))
            else:
                self.feed(events.Renewed(session_id, self.world.database.lease))
                self._acknowledge_beat(session_id, number)
        self._renew_sessions()

    def _acknowledge_beat(self, session_id: str, number: int) -> None:
        self._send(session_id, stream.ConnectResponse(beat_ack=stream.BeatAck(number=number)))
