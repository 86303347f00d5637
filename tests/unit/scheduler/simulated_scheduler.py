"""A scheduler of the simulation: the real core, and around it what ``Incarnation`` does."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.consistency import check
from tests.unit.scheduler.database import LeaseLostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.scheduler.simulation import Link, World


class SimulatedScheduler:
    """One incarnation."""

    def __init__(self, world: World, scheduler_id: str) -> None:
        self.world = world
        self.id = scheduler_id
        self.alive = True
        self.links: dict[str, Link] = {}
        self.core = world.faults.core(scheduler_id, Policy(), Random(scheduler_id))
        self.frozen_until = 0.0
        self._due: float | None = None
        world.database.renew_scheduler(scheduler_id)
        self._keep_lease()
        world.after(0.1, self._claim)

    def feed(self, event: events.Event) -> None:
        """Tell the core, and do what it wants; a frozen one hears later."""
        if not self.alive:
            return
        if self.frozen_until > self.world.now:
            self.world.at(self.frozen_until, lambda: self.feed(event))
            return
        for command in self.core.handle(event, self.world.now):
            if isinstance(command, events.Commit):
                self.world.after(self.world.delay(), partial(self._commit, command))
            elif isinstance(command, events.Send):
                if command.session_id in self.links:
                    self.links[command.session_id].to_engine(command.message)
            else:
                self.end(release=True)
                return
        check(self.core)
        due = self.core.next_timer()
        if due is not None and due != self._due:
            self._due = due
            self.world.at(max(due, self.world.now), lambda: self.feed(events.Tick()))

    def end(self, *, release: bool) -> None:
        """Die, or end in order; another one takes its place."""
        if self.alive:
            self.alive = False
            for link in list(self.links.values()):
                link.cut()
            if release:
                self.world.database.release(self.id)
            self.world.replace_scheduler(self, 0.1 if release else self.world.chance.uniform(0, 8))

    def hear(self, message: stream.ConnectRequest, link: Link) -> None:
        """Take a message of an engine."""
        session_id = link.engine.session_id
        kind = message.WhichOneof("message")
        if not self.alive:
            return
        if kind == "hello":
            if not self.world.database.renew_session(session_id):
                link.cut()
                self.world.after(self.world.delay(), lambda: self.world.refused(link.engine))
                return
            self.links[session_id] = link
            running = {each.task_id: each.epoch for each in message.hello.running}
            slots = dict(message.hello.credit.slots)
            self.feed(events.Hello(session_id, slots, running, self.world.database.lease))
        elif kind == "done":
            self.feed(events.Done(session_id, list(message.done.results)))
        elif kind == "refused":
            ref = message.refused.attempt
            reason = message.refused.reason
            self.feed(events.Refused(session_id, ref.task_id, ref.epoch, reason))
        elif kind == "beat":
            self._beat(link, message.beat.number)

    def disconnected(self, link: Link) -> None:
        if self.links.get(link.engine.session_id) is link:
            del self.links[link.engine.session_id]
            self.feed(events.Disconnected(link.engine.session_id))

    def _beat(self, link: Link, number: int) -> None:
        session_id = link.engine.session_id
        if self.world.database.renew_session(session_id):
            self.feed(events.Renewed(session_id, self.world.database.lease))
            ack = stream.BeatAck(number=number)
            link.to_engine(stream.ConnectResponse(beat_ack=ack))
        else:
            link.cut()
            self.feed(events.SessionEnded(session_id))

    def _keep_lease(self) -> None:
        if self.alive:
            if self.frozen_until <= self.world.now:
                self._ask(lambda: self.world.database.renew_scheduler(self.id))
            self.world.after(1.5, self._keep_lease)

    def _claim(self) -> None:
        if not self.alive:
            return
        if self.frozen_until <= self.world.now:
            graphs = self.core.operations.values()
            known = {each.id for each in graphs if each.operation.cancel_requested}
            self._ask(lambda: self._claimed(self.world.database.claim(self.id, known)))
        self.world.after(0.4, self._claim)

    def _claimed(self, answer: execution.ClaimResponse) -> None:
        if answer.graphs and self.world.happens(self.world.faults.claim_answer_lost):
            self.end(release=True)
            return
        for graph in answer.graphs:
            self.feed(events.Claimed(graph, self.world.now))
        for operation_id in answer.cancels:
            self.feed(events.CancelRequested(operation_id))

    def _ask(self, question: Callable[[], None]) -> None:
        try:
            question()
        except LeaseLostError:
            self.feed(events.LeaseLost())

    def _commit(self, command: events.Commit) -> None:
        """Carry a commit to the conductor; it arrives even when the scheduler dies meanwhile."""
        world = self.world
        answer: events.Event = events.CommitUnknown(command.number)
        if not world.happens(world.faults.commit_fails):
            request = execution.CommitRequest(
                scheduler_id=self.id, number=command.number, changes=command.changes
            )
            try:
                verdicts = list(world.commit(request).verdicts)
            except LeaseLostError:
                answer = events.LeaseLost()
            else:
                if not world.happens(world.faults.commit_answer_lost):
                    answer = events.Committed(command.number, verdicts)
        world.after(world.delay(), lambda: self.feed(answer))
