"""An engine: the real core of its sessions, and around it what ``Session``, ``Conversation`` and
``Schedulers`` do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_engine import core
from tests.simulation import attempts
from tests.simulation.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.simulation.streams import Link
    from tests.simulation.world import World

SLOTS = {"plan": 2, "ssh": 3, "cloud": 3}
_FIND_SECONDS = 0.5
_WELCOME_SECONDS = 10.0
_DRAIN_SECONDS = 4.0


class SimulatedSession:
    """One session, with its conversations and attempts."""

    def __init__(self, engine: SimulatedEngine, session_id: str) -> None:
        self.engine = engine
        self.id = session_id
        self.core = engine.world.faults.engine_core(lambda _: True, engine.clock())
        self.links: dict[str, Link] = {}
        self.slots = dict(SLOTS)
        self._welcomed: dict[str, Link] = {}
        self._attempts: dict[tuple[str, int], attempts.Attempt] = {}
        self._watch()

    # Its core.

    def do(self, commands: Iterable[core.Command]) -> None:
        """Do what the core wants."""
        for command in commands:
            if isinstance(command, core.Start):
                ref = command.assignment.attempt
                self.engine.world.note(self.engine.name, f"begins {ref.task_id}/{ref.epoch}")
                attempt = attempts.begin(self, command.assignment)
                self._attempts[ref.task_id, ref.epoch] = attempt
            elif isinstance(command, core.Stop):
                ref = command.ref
                self.engine.world.note(self.engine.name, f"stops {ref.task_id}/{ref.epoch}")
                self._attempts[ref.task_id, ref.epoch].stop()
            else:
                for each in command.message.done.results:
                    self.engine.world.checker.said(each)
                self.say(command.message)

    def say(self, message: stream.ConnectRequest) -> None:
        """Say something to every scheduler that welcomed the session."""
        for link in list(self._welcomed.values()):
            link.say_up(message)

    def ended(self, result: stream.Result) -> None:
        """Take the result of an attempt."""
        ref, outcome = result.attempt, result.WhichOneof("outcome")
        self.engine.world.note(self.engine.name, f"ended {ref.task_id}/{ref.epoch}: {outcome}")
        del self._attempts[ref.task_id, ref.epoch]
        self.do(self.core.ended(result, self.engine.clock()))

    def _watch(self) -> None:
        if not self.core.is_over:
            self.do(self.core.tick(self.engine.clock()))
            self.engine.after(self.engine.world.chance.uniform(0.1, 0.3), self._watch)
        if self.core.is_over:
            self.over()

    def over(self) -> None:
        """End for good; the engine begins another."""
        self.do(self.core.end())
        for link in self.links.values():
            link.break_off()
        self.engine.session_over(self)

    # Its conversations.

    def look_for_schedulers(self) -> None:
        """Connect to schedulers that are new, and share the slots between all."""
        if self.core.is_over:
            return
        conductor = self.engine.world.conductor
        conductor.call(self.engine, conductor.schedulers, self._connect, lambda _: None)
        self.engine.after(_FIND_SECONDS, self.look_for_schedulers)

    def _connect(self, living: list[str]) -> None:
        if self.core.is_over:
            return
        slots = {pool: max(1, size // max(1, len(living))) for pool, size in SLOTS.items()}
        if slots != self.slots:
            self.slots = slots
            self.say(stream.ConnectRequest(credit=stream.Credit(slots=slots)))
        for scheduler_id in living:
            if scheduler_id in self.links:
                continue
            link = self.engine.world.connect(self, scheduler_id)
            if link is None:
                continue
            self.links[scheduler_id] = link
            hello = stream.Hello(
                session_id=self.id, engine_id=self.engine.machine, running=self.core.running()
            )
            hello.credit.slots.update(self.slots)
            link.say_up(stream.ConnectRequest(hello=hello))
            self.engine.after(_WELCOME_SECONDS, partial(self._give_up, link))

    def _give_up(self, link: Link) -> None:
        if self._is_held(link) and link.scheduler.id not in self._welcomed:
            link.break_off()

    def _is_held(self, link: Link) -> bool:
        return self.links.get(link.scheduler.id) is link

    def link_ended(self, link: Link) -> None:
        """Learn that a stream has ended."""
        if self._is_held(link):
            del self.links[link.scheduler.id]
            self._welcomed.pop(link.scheduler.id, None)
            if link.is_refused:
                self.over()

    def hear(self, message: stream.ConnectResponse, link: Link) -> None:
        """Take a message of a scheduler."""
        now = self.engine.clock()
        if not self._is_held(link):
            return
        kind = message.WhichOneof("message")
        if kind == "welcome":
            self._welcome(message.welcome, link)
        elif kind == "run":
            self.do(self.core.offered(message.run.assignments, now))
        elif kind == "cancel":
            self.do(self.core.cancelled(message.cancel.attempts, now))
        elif kind == "beat_ack":
            self.core.heard(message.beat_ack.number)
        elif kind == "done_ack":
            self.core.acknowledged(message.done_ack.attempts)

    def _welcome(self, welcome: stream.Welcome, link: Link) -> None:
        self.core.fence_after(welcome.self_fence.ToMilliseconds() / 1000, link.greeted)
        self.do(self.core.dropped(welcome.drop))
        self._welcomed[link.scheduler.id] = link
        if (debts := self.core.debts()) is not None:
            link.say_up(debts)
        self._beat(link, welcome.beat_interval.ToMilliseconds() / 1000)

    def _beat(self, link: Link, seconds: float) -> None:
        if self._is_held(link) and not self.core.is_over:
            link.say_up(self.core.next_beat(self.engine.clock()))
            self.engine.after(seconds, partial(self._beat, link, seconds))


class SimulatedEngine(Process):
    """A process that lives one session after the other."""

    def __init__(self, world: World, name: str, machine: str) -> None:
        super().__init__(world, name)
        self.machine = machine
        self.is_leaving = False
        self._count = 0
        self.session = self._new_session()

    def die(self) -> None:
        """Die at once; what runs on hosts goes on."""
        self.alive = False
        self.cut(self.session.links.values())

    def leave(self) -> None:
        """End in order: take nothing more, let what runs end, hand back what does not."""
        if self.is_leaving:
            return
        self.is_leaving = True
        self.session.core.is_leaving = True
        self.session.say(stream.ConnectRequest(goodbye=stream.Goodbye()))
        self._drain(self.clock() + _DRAIN_SECONDS)

    def _drain(self, until: float) -> None:
        session = self.session
        if session.core.is_idle or session.core.is_over or self.clock() > until + _DRAIN_SECONDS:
            self.world.replace_engine(self)
            return
        if self.clock() > until:
            session.do(session.core.cancelled(session.core.running(), self.clock()))
        self.after(0.1, partial(self._drain, until))

    def session_over(self, session: SimulatedSession) -> None:
        """Begin a new session after one that is over."""
        if session is self.session and not self.is_leaving:
            self.world.note(self.name, f"gives up its session {session.id}")
            self.session = self._new_session()

    def _new_session(self) -> SimulatedSession:
        self._count += 1
        session = SimulatedSession(self, f"{self.name}.{self._count}")
        self.after(0.0, session.look_for_schedulers)
        return session
