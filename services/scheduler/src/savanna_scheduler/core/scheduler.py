"""The decision core: ``handle(event, now)`` gives commands.

Nothing is sent before it is recorded: a hand-out goes to its engine, and a result is acknowledged,
only after ``Committed``. When a verdict says that memory and database differ, memory is thrown away
(``Abandon``): the database is right.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events, failures
from savanna_scheduler.core.course import Course
from savanna_scheduler.core.faults import Faults
from savanna_scheduler.core.graph import OperationGraph, Phase, TaskNode
from savanna_scheduler.core.hand_out import HandOut
from savanna_scheduler.core.ledger import Ledger
from savanna_scheduler.core.outbox import Outbox
from savanna_scheduler.core.results import Results
from savanna_scheduler.core.sessions import Session, Sessions
from savanna_scheduler.core.timers import Timers
from savanna_scheduler.core.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from savanna_scheduler.core.policy import Policy

Verdict = execution.Verdict


class SchedulerCore:
    """Everything that one scheduler incarnation knows and decides."""

    def __init__(self, scheduler_id: str, policy: Policy, chance: Random) -> None:
        self.scheduler_id = scheduler_id
        self.policy = policy
        self.chance = chance
        self.now = 0.0
        self.operations: dict[str, OperationGraph] = {}
        self.tasks: dict[str, TaskNode] = {}
        self._busy: dict[str, float] = {}
        """Projects, with the time of the last decision about one of their operations."""

        self.sessions = Sessions()
        self.timers = Timers()
        self.outbox = Outbox(policy.offer_ttl)
        self.results = Results(self)
        self.course = Course(self)
        self.hand_out = HandOut(self)
        self.trust = Trust(self)
        self._ledger = Ledger(policy.commit_bytes)
        self._faults = Faults(self, self._ledger)
        self._past: OrderedDict[str, None] = OrderedDict()
        self._again: events.Commit | None = None
        self._abandoned = ""
        self.stale_results = 0
        """Results that were dropped."""

        self._handlers: dict[type, Callable[..., None]] = {
            events.Claimed: self._claimed,
            events.CancelRequested: self._cancel_requested,
            events.Hello: self._hello,
            events.Renewed: self._renewed,
            events.Credit: self._credit,
            events.Refused: self._refused,
            events.Done: self._done,
            events.Disconnected: self._disconnected,
            events.SessionEnded: self._session_ended,
            events.Leaving: self._leaving,
            events.Stored: self._stored,
            events.Committed: self._committed,
            events.CommitUnknown: self._commit_unknown,
            events.CommitRefused: self._commit_refused,
            events.LeaseLost: self._lease_lost,
            events.Peers: self._peers,
            events.Tick: self._tick,
        }

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        """Take an event in at a monotonic time; give the commands that follow, in order.

        After ``Abandon`` nothing follows any more.
        """
        if self._abandoned:
            return []
        self.now = now
        self._handlers[type(event)](event)
        self.timers.run(now)
        self.hand_out.go_on()
        if self._abandoned:
            return [events.Abandon(self._abandoned)]
        return self._commands()

    def next_timer(self) -> float | None:
        """Give the time at which a ``Tick`` is due; None when nothing waits for time."""
        return self.timers.next()

    @property
    def is_recording(self) -> bool:
        """Say whether decisions are on their way into the database."""
        return self._ledger.is_busy

    def is_shared(self) -> bool:
        """Say whether several projects are busy, and so wait for one another."""
        since = self.now - self.policy.shared_seconds
        self._busy = {name: last for name, last in self._busy.items() if last >= since}
        return len(self._busy) > 1

    # What the parts use.

    def decide(
        self,
        graph: OperationGraph,
        change: execution.Change,
        then: Callable[[Verdict], None],
        *,
        joined: bool = False,
    ) -> None:
        """Put a change to an operation into the next commit."""
        self._busy[graph.project_id] = self.now
        self._ledger.decide(graph.project_id, change, then, joined=joined)

    def must_apply(self, verdict: Verdict) -> None:
        """Abandon everything when a change that had to be right was refused."""
        if verdict.code != Verdict.CODE_APPLIED:
            self.abandon(f"a change was refused: {Verdict.Code.Name(verdict.code)}")

    def abandon(self, reason: str) -> None:
        """Throw everything away; a new incarnation reads it again."""
        self._abandoned = self._abandoned or reason

    def make_ready(self, node: TaskNode) -> None:
        """Offer a task to the engines if nothing else is missing."""
        if not node.graph.may_run(node) or node.attempt in self.results.recording:
            return
        if node.not_before > self.now:
            node.phase = Phase.WAITING
            if node.alarm != node.not_before:
                node.alarm = node.not_before
                self.timers.at(node.not_before, lambda: self.make_ready(node))
        elif node.phase is Phase.WAITING:
            node.phase = Phase.READY
            node.ready_at = self.now
            self.hand_out.add(node)

    def release(self, node: TaskNode) -> None:
        """Free the slot that a task took, and what is scarce."""
        self.hand_out.scarce.give_back(node)
        session = self.sessions.get(node.session_id)
        if session is not None:
            session.give_back(node.id)

    def forget(self, graph: OperationGraph) -> None:
        """Drop an operation that is over; what its engines still say is acknowledged for a
        while."""
        self.operations.pop(graph.id, None)
        for node in graph.refused:
            self.outbox.acknowledge(node.session_id, *node.attempt)
            self.results.recording.discard(node.attempt)
        for node in graph.tasks.values():
            self.tasks.pop(node.id, None)
            if node.epoch:
                self._past[node.id] = None
        while len(self._past) > self.policy.remembered:
            self._past.popitem(last=False)

    def session_over(self, session_id: str) -> None:
        """Take back everything that a session has whose lease is over by the database's clock."""
        session = self.sessions.get(session_id)
        if session is None:
            return
        self.sessions.remove(session_id)
        held = [self.tasks[task_id] for task_id in session.holds]
        if lost := [node for node in held if node.phase is Phase.ASSIGNED]:
            self.trust.lost(session.engine, lost)
        for node in held:
            self.results.lose(node)

    def still_held(self, node: TaskNode, seconds: float) -> None:
        """Go on with a task that its session still has; look at that again after a while."""
        session = self.sessions.find_or_add(node.session_id)
        session.take(node.id, node.spec.pool)
        session.lease_until = max(session.lease_until, self.now + seconds)
        self._watch(session)
        if session.connected:
            # Its offer may have been held back meanwhile.
            self.hand_out.offer(node, session)

    # Operations.

    def _claimed(self, event: events.Claimed) -> None:
        graph = OperationGraph(event.graph.operation)
        self.operations[graph.id] = graph
        nodes = [graph.add(task, self.now - event.wall) for task in event.graph.tasks]
        hopeless = graph.link(nodes)
        leases = {each.session_id: each for each in event.graph.sessions}
        for node in nodes:
            self.tasks[node.id] = node
            if node.phase is Phase.ASSIGNED:
                self._adopt(node, leases.get(node.session_id, execution.SessionLease()))
        for node in hopeless:
            self.course.skip(node)
        for node in nodes:
            lethal = node.interruptions >= self.policy.interruptions
            if lethal and node.is_idle and not graph.is_over:
                self.results.give_up(node, failures.interrupted(node))
        operation = graph.operation
        if operation.cancel_requested and not operation.cancel_acknowledged:
            self.course.cancel(graph)
        elif not graph.has_open_plan:
            self.course.plan_again(graph)
        for node in nodes:
            self.make_ready(node)

    def _adopt(self, node: TaskNode, lease: execution.SessionLease) -> None:
        """Keep what an engine does already; look after its session, should it never say hello."""
        session = self.sessions.find_or_add(node.session_id, lease.engine_id)
        session.take(node.id, node.spec.pool)
        self.hand_out.scarce.take(node)
        rest = lease.remaining.ToMilliseconds() / 1000
        session.lease_until = max(session.lease_until, self.now + rest)
        self._watch(session)
        if session.connected:
            # The former owner may have had no time to say it: an engine that knows the attempt
            # ignores this.
            self.hand_out.offer(node, session)

    def _cancel_requested(self, event: events.CancelRequested) -> None:
        graph = self.operations.get(event.operation_id)
        if graph is not None and not graph.operation.cancel_requested:
            graph.operation.cancel_requested = True
            self.course.cancel(graph)

    # Engines.

    def _hello(self, event: events.Hello) -> None:
        session = self.sessions.find_or_add(event.session_id, event.engine_id)
        session.slots = dict(event.slots)
        session.connected, session.leaving = True, False
        session.lease_until = self.now + event.lease
        self._watch(session)
        drop = []
        for task_id, epoch in event.running.items():
            known = self.tasks.get(task_id)
            # One that is newer than ours means that we are the ones who are late.
            if known is not None and epoch < known.epoch:
                drop.append(stream.AttemptRef(task_id=task_id, epoch=epoch))
        welcome = stream.Welcome(scheduler_id=self.scheduler_id, drop=drop)
        welcome.beat_interval.FromMilliseconds(int(event.lease * 1000 * self.policy.beat_share))
        welcome.self_fence.FromMilliseconds(int(event.lease * 1000 * self.policy.fence_share))
        self.outbox.welcome(session.id, welcome)
        self.trust.judge()
        for task_id in session.holds:
            node = self.tasks[task_id]
            if node.phase is Phase.ASSIGNED and node.attempt not in self.results.recording:
                if event.running.get(task_id) != node.epoch:
                    self.hand_out.offer(node, session)
                elif node.unwanted:
                    self.outbox.stop(session.id, *node.attempt)

    def _renewed(self, event: events.Renewed) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.lease_until = self.now + event.lease

    def _credit(self, event: events.Credit) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.slots = dict(event.slots)

    def _refused(self, event: events.Refused) -> None:
        session = self.sessions.get(event.session_id)
        node = self._held(event.session_id, event.task_id, event.epoch)
        if session is None or node is None or node.attempt in self.results.recording:
            return
        if event.reason == "UNKNOWN_KIND":
            session.unknown_kinds.add(node.spec.kind)
        elif event.reason in ("DRAINING", "FENCED"):
            session.leaving = True
        self.results.not_begun(node, self.policy.refused_wait)

    def _done(self, event: events.Done) -> None:
        for result in event.results:
            ref = result.attempt
            attempt = (ref.task_id, ref.epoch)
            if attempt in self.results.recording:
                # It came before, or the task is being taken back: it comes again if need be.
                continue
            node = self._held(event.session_id, *attempt)
            if node is not None:
                self.results.take(node, result)
            elif self._is_past(*attempt):
                self.stale_results += 1
                self.outbox.acknowledge(event.session_id, *attempt)

    def _is_past(self, task_id: str, epoch: int) -> bool:
        """Say whether an attempt surely has ended; one that is newer than ours belongs to a newer
        owner."""
        node = self.tasks.get(task_id)
        if node is None:
            return task_id in self._past
        return epoch < node.epoch or (epoch == node.epoch and not node.is_out)

    def _held(self, session_id: str, task_id: str, epoch: int) -> TaskNode | None:
        node = self.tasks.get(task_id)
        if node is None or node.phase is not Phase.ASSIGNED:
            return None
        return node if (node.epoch, node.session_id) == (epoch, session_id) else None

    def _disconnected(self, event: events.Disconnected) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.connected = False
            self.trust.judge()

    def _session_ended(self, event: events.SessionEnded) -> None:
        self.session_over(event.session_id)

    def _leaving(self, event: events.Leaving) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.leaving = True
            self.trust.forgive(session.engine)

    def _watch(self, session: Session) -> None:
        """Look after a session at the end of its lease."""
        if not session.watched:
            session.watched = True
            self.timers.at(session.lease_until, lambda: self._look_after(session))

    def _look_after(self, session: Session) -> None:
        session.watched = False
        if self.sessions.get(session.id) is not session:
            return
        if session.lease_until <= self.now:
            if not session.holds and not session.connected:
                self.sessions.remove(session.id)
                return
            session.lease_until = self.now + self.policy.look_again
            held = [self.tasks[task_id] for task_id in session.holds]
            assigned = [each for each in held if each.phase is Phase.ASSIGNED]
            if assigned:
                # One question is enough: the rest follows its answer.
                self.results.lose(min(assigned, key=lambda node: (node.graph.faults, node.lost)))
        self._watch(session)

    def _peers(self, event: events.Peers) -> None:
        self.hand_out.scarce.schedulers = event.number

    def _tick(self, event: events.Tick) -> None:
        """Let timers run: ``handle`` does."""

    # Committing.

    def _commands(self) -> list[events.Command]:
        again, self._again = self._again, None
        commit = again or self._ledger.next_commit(self._most_changes)
        commands: list[events.Command] = [] if commit is None else [commit]
        for session_id, message in self.outbox.take():
            session = self.sessions.get(session_id)
            if session is not None and session.connected:
                commands.append(events.Send(session_id, message))
        return commands

    def _most_changes(self) -> int:
        policy = self.policy
        return policy.shared_commit_changes if self.is_shared() else policy.commit_changes

    def _stored(self, event: events.Stored) -> None:
        """Let the next commit leave: the conductor works on it while the verdicts are looked at."""
        self._ledger.store(event.number)

    def _committed(self, event: events.Committed) -> None:
        for decision, verdict in self._ledger.settle(event.number, event.verdicts):
            if not self._abandoned:
                decision.then(verdict)

    def _commit_unknown(self, event: events.CommitUnknown) -> None:
        self._again = self._ledger.same_commit(event.number)

    def _commit_refused(self, event: events.CommitRefused) -> None:
        self._faults.refused(event.number, event.error)

    def _lease_lost(self, event: events.LeaseLost) -> None:
        self.abandon("the lease was taken over")
