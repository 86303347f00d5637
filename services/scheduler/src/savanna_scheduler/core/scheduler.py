"""The decision core: ``handle(event, now)`` gives commands.

One commit is under way at a time; what is decided meanwhile goes into the next, so that the end of
a task and the hand-out of its successors share a transaction. Nothing is sent before it is
recorded: a hand-out goes to its engine, and a result is acknowledged, only after ``Committed``.
When a verdict says that memory and database differ, memory is thrown away (``Abandon``): the
database is right.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import changes, events, results
from savanna_scheduler.core.graph import OperationGraph, Phase, TaskNode
from savanna_scheduler.core.ready import ReadyTasks
from savanna_scheduler.core.sessions import Session, freest

if TYPE_CHECKING:
    from random import Random

    from savanna_scheduler.core.policy import Policy

Verdict = execution.Verdict
Attempt = operation_pb2.Attempt
Task = operation_pb2.Task
Then = Callable[[Verdict], None]


@dataclass
class Decision:
    """A change to record, and what follows from its verdict."""

    change: execution.Change
    then: Then


class SchedulerCore:
    """Everything that one scheduler incarnation knows and decides."""

    def __init__(self, scheduler_id: str, policy: Policy, chance: Random) -> None:
        self.scheduler_id = scheduler_id
        self.policy = policy
        self.chance = chance
        self.now = 0.0
        self.operations: dict[str, OperationGraph] = {}
        self.tasks: dict[str, TaskNode] = {}
        self.sessions: dict[str, Session] = {}
        self.timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ready: dict[str, ReadyTasks] = defaultdict(ReadyTasks)
        self._decided: deque[Decision] = deque()
        self._under_way: list[Decision] = []
        self._number = 0
        self._timer_count = 0
        self._commands: list[events.Command] = []
        self._acks: dict[str, list[stream.AttemptRef]] = defaultdict(list)
        self._runs: dict[str, list[stream.Assignment]] = defaultdict(list)
        self._results = results.Results(self)
        self._handlers: dict[type, Callable[..., None]] = {
            events.Claimed: self._claimed,
            events.CancelRequested: self._cancel_requested,
            events.Hello: self._hello,
            events.Credit: self._credit,
            events.Refused: self._refused,
            events.Done: self._done,
            events.Disconnected: self._disconnected,
            events.SessionEnded: self._session_ended,
            events.Leaving: self._leaving,
            events.Committed: self._committed,
            events.CommitUnknown: self._commit_unknown,
            events.LeaseLost: self._lease_lost,
            events.Tick: self._tick,
        }

    def handle(self, event: events.Event, now: float) -> list[events.Command]:
        """Take an event in at a monotonic time; give the commands that follow, in order."""
        self.now = now
        self._handlers[type(event)](event)
        self._run_timers()
        self._assign()
        self._flush()
        taken, self._commands = self._commands, []
        return taken

    def next_timer(self) -> float | None:
        """Give the time at which a ``Tick`` is due; None when nothing waits for time."""
        return self.timers[0][0] if self.timers else None

    # What the parts use.

    def decide(self, change: execution.Change, then: Then | None = None) -> None:
        """Put a change into the next commit."""
        self._decided.append(Decision(change, then or self.must_apply))

    def must_apply(self, verdict: Verdict) -> None:
        """Abandon everything when a change that had to be right was refused."""
        if verdict.code != Verdict.CODE_APPLIED:
            self.abandon(f"a change was refused: {Verdict.Code.Name(verdict.code)}")

    def abandon(self, reason: str) -> None:
        """Throw everything away; a new incarnation reads it again."""
        self._commands.append(events.Abandon(reason))

    def make_ready(self, node: TaskNode) -> None:
        """Offer a task to the engines if nothing else is missing."""
        if not node.graph.may_run(node):
            return
        if node.not_before > self.now:
            node.phase = Phase.WAITING
            self.at(node.not_before, lambda: self.make_ready(node))
        elif node.phase is Phase.WAITING:
            node.phase = Phase.READY
            self._ready[node.spec.pool].push(node)

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Do something at a time."""
        self._timer_count += 1
        heapq.heappush(self.timers, (when, self._timer_count, do))

    def acknowledge(self, session_id: str, task_id: str, epoch: int) -> None:
        """Tell an engine that a result need not be sent again."""
        self._acks[session_id].append(stream.AttemptRef(task_id=task_id, epoch=epoch))

    def send(self, session_id: str, message: stream.ConnectResponse) -> None:
        """Say something to an engine that is there."""
        session = self.sessions.get(session_id)
        if session is not None and session.connected:
            self._commands.append(events.Send(session_id, message))

    def release(self, node: TaskNode) -> None:
        """Free the slot that a task took."""
        session = self.sessions.get(node.session_id)
        if session is not None:
            session.give_back(node.id, node.spec.pool)

    def spawn(self, graph: OperationGraph, specs: list[operation_pb2.TaskSpec]) -> None:
        """Store tasks, and hand them out once they are stored."""

        def stored(verdict: Verdict) -> None:
            self.must_apply(verdict)
            nodes = [graph.add(task) for task in verdict.spawned]
            for node in nodes:
                self.tasks[node.id] = node
            for node in graph.link(nodes):
                self._results.skip(node)
            for node in nodes:
                self.make_ready(node)
            if not nodes and graph.open_tasks == 0 and not graph.ending:
                self.end(graph, operation_pb2.Operation.STATE_FAILED, _stuck(graph))

        self.decide(changes.spawn(graph.id, specs), stored)

    def plan_again(self, graph: OperationGraph) -> None:
        """Store the next plan unless one waits already."""
        spec = graph.next_plan()
        if spec is not None:
            self.spawn(graph, [spec])

    def end(
        self,
        graph: OperationGraph,
        state: operation_pb2.Operation.State.ValueType,
        failure: operation_pb2.Failure | None,
    ) -> None:
        """End an operation."""
        graph.ending = True

        def ended(verdict: Verdict) -> None:
            self.must_apply(verdict)
            self.forget(graph)

        self.decide(changes.end_operation(graph.id, state, failure), ended)

    def forget(self, graph: OperationGraph) -> None:
        """Drop an operation from memory."""
        self.operations.pop(graph.id, None)
        for node in graph.tasks.values():
            self.release(node)
            self.tasks.pop(node.id, None)
            node.phase = Phase.ENDED
        self._commands.append(events.Forget(graph.id))

    # Events.

    def _claimed(self, event: events.Claimed) -> None:
        graph = OperationGraph(event.graph.operation)
        self.operations[graph.id] = graph
        nodes = [graph.add(task, self.now - event.wall) for task in event.graph.tasks]
        doomed = graph.link(nodes)
        rest = {
            each.session_id: each.remaining.ToMilliseconds() / 1000 for each in event.graph.sessions
        }
        for node in nodes:
            self.tasks[node.id] = node
            if node.phase is Phase.ASSIGNED:
                self._adopt(node, rest.get(node.session_id, 0.0))
        for node in doomed:
            self._results.skip(node)
        if graph.operation.cancel_requested and self._is_before_end(graph):
            self._results.cancel(graph)
        elif graph.open_tasks == 0:
            self.plan_again(graph)
        for node in nodes:
            self.make_ready(node)

    def _is_before_end(self, graph: OperationGraph) -> bool:
        """Say whether a cancel has not been planned for yet: that plan starts only when nothing
        else runs."""
        return not graph.operation.cancel_acknowledged or graph.has_open_plan()

    def _adopt(self, node: TaskNode, lease: float) -> None:
        """Keep what an engine does already; look after its session in case that it never says
        hello."""
        session = self.sessions.get(node.session_id)
        if session is not None:
            session.take(node.id, node.epoch, node.spec.pool)
        else:
            self._watch_silent(node, self.now + lease)

    def _cancel_requested(self, event: events.CancelRequested) -> None:
        graph = self.operations.get(event.operation_id)
        if graph is not None and not graph.operation.cancel_requested:
            graph.operation.cancel_requested = True
            self._results.cancel(graph)

    def _hello(self, event: events.Hello) -> None:
        session = Session(event.session_id, event.engine_id, dict(event.slots))
        self.sessions[event.session_id] = session
        running = dict(event.running)
        drop = []
        for node in self.tasks.values():
            if node.session_id == session.id and node.phase is Phase.ASSIGNED:
                session.take(node.id, node.epoch, node.spec.pool)
                if running.get(node.id) != node.epoch:
                    # The offer or the result was lost on the way: an engine that knows the attempt
                    # ignores this.
                    self._runs[session.id].append(self._assignment(node))
        for task_id, epoch in running.items():
            known = self.tasks.get(task_id)
            if known is not None and (known.epoch, known.session_id) != (epoch, session.id):
                drop.append(stream.AttemptRef(task_id=task_id, epoch=epoch))
        welcome = stream.Welcome(scheduler_id=self.scheduler_id, drop=drop)
        welcome.beat_interval.FromMilliseconds(int(event.lease * 1000 * self.policy.beat_share))
        welcome.self_fence.FromMilliseconds(int(event.lease * 1000 * self.policy.fence_share))
        self.send(session.id, stream.ConnectResponse(welcome=welcome))

    def _credit(self, event: events.Credit) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.slots = dict(event.slots)

    def _refused(self, event: events.Refused) -> None:
        node = self._held(event.session_id, event.task_id, event.epoch)
        if node is not None:
            self._results.put_back(node, Attempt.OUTCOME_CANCELLED, 0.0)

    def _done(self, event: events.Done) -> None:
        for result in event.results:
            ref = result.attempt
            node = self._held(event.session_id, ref.task_id, ref.epoch)
            if node is not None:
                self._results.take(node, result)
            elif ref.task_id in self.tasks and not self._is_recording(ref):
                self.acknowledge(event.session_id, ref.task_id, ref.epoch)

    def _held(self, session_id: str, task_id: str, epoch: int) -> TaskNode | None:
        node = self.tasks.get(task_id)
        if node is None or node.phase is not Phase.ASSIGNED:
            return None
        return node if (node.epoch, node.session_id) == (epoch, session_id) else None

    def _is_recording(self, ref: stream.AttemptRef) -> bool:
        """Say whether the same result came before and is on its way into the database: its
        acknowledgement follows."""
        return (ref.task_id, ref.epoch) in self._results.recording

    def _disconnected(self, event: events.Disconnected) -> None:
        session = self.sessions.get(event.session_id)
        if session is None:
            return
        session.connected = False
        for task_id in session.holds:
            self._watch_silent(self.tasks[task_id], self.now + self.policy.engine_lease)

    def _session_ended(self, event: events.SessionEnded) -> None:
        session = self.sessions.pop(event.session_id, None)
        if session is None:
            return
        for task_id in list(session.holds):
            node = self.tasks[task_id]
            if node.phase is Phase.ASSIGNED:
                self._results.lose(node)

    def _leaving(self, event: events.Leaving) -> None:
        session = self.sessions.get(event.session_id)
        if session is not None:
            session.leaving = True

    def _watch_silent(self, node: TaskNode, when: float) -> None:
        """Try to take a task back at a time, if its session has not come back until then."""
        epoch, session_id = node.epoch, node.session_id

        def look() -> None:
            held = self._held(session_id, node.id, epoch)
            session = self.sessions.get(session_id)
            if held is not None and (session is None or not session.connected):
                self._results.lose(node)

        self.at(when, look)

    def watch_again(self, node: TaskNode) -> None:
        """Look again soon whether a silent session is over."""
        self._watch_silent(node, self.now + self.policy.look_again)

    def _tick(self, event: events.Tick) -> None:
        """Let timers run: ``handle`` does."""

    def _run_timers(self) -> None:
        while self.timers and self.timers[0][0] <= self.now:
            heapq.heappop(self.timers)[2]()

    # Handing out.

    def _assign(self) -> None:
        for pool, ready in self._ready.items():
            while ready and (session := freest(self.sessions.values(), pool)) is not None:
                node = ready.pop()
                if node is None:
                    break
                if not node.graph.may_run(node):
                    node.phase = Phase.WAITING
                    continue
                self._hand_out(node, session)

    def _hand_out(self, node: TaskNode, session: Session) -> None:
        node.phase = Phase.ASSIGNING
        node.epoch += 1
        node.session_id = session.id
        node.graph.assigned += 1
        session.take(node.id, node.epoch, node.spec.pool)

        def recorded(verdict: Verdict) -> None:
            if verdict.code == Verdict.CODE_APPLIED:
                node.phase = Phase.ASSIGNED
                self._runs[session.id].append(self._assignment(node))
                if not session.connected:
                    self._watch_silent(node, self.now + self.policy.engine_lease)
                elif node.unwanted:
                    self._results.stop(node)
                return
            session.give_back(node.id, node.spec.pool)
            node.epoch -= 1
            node.graph.assigned -= 1
            node.phase = Phase.WAITING
            if verdict.code == Verdict.CODE_SESSION_ENDED:
                self._session_ended(events.SessionEnded(session.id))
                self.make_ready(node)
            else:
                self.must_apply(verdict)

        self.decide(changes.assign(node), recorded)

    def _assignment(self, node: TaskNode) -> stream.Assignment:
        spec = node.spec
        assignment = stream.Assignment(
            attempt=stream.AttemptRef(task_id=node.id, epoch=node.epoch),
            operation_id=node.graph.id,
            key=spec.key,
            kind=spec.kind,
            pool=spec.pool,
            body=spec.body,
            number=node.failed + 1,
            timeout=spec.timeout,
            traceparent=node.graph.operation.traceparent,
            instance=spec.instance,
        )
        assignment.offer_ttl.FromMilliseconds(int(self.policy.offer_ttl * 1000))
        return assignment

    # Committing.

    def _flush(self) -> None:
        if not self._under_way and self._decided:
            count = min(len(self._decided), self.policy.commit_changes)
            self._under_way = [self._decided.popleft() for _ in range(count)]
            self._number += 1
            self._commit()
        for session_id, refs in self._acks.items():
            self.send(session_id, stream.ConnectResponse(done_ack=stream.DoneAck(attempts=refs)))
        for session_id, runs in self._runs.items():
            self.send(session_id, stream.ConnectResponse(run=stream.Run(assignments=runs)))
        self._acks.clear()
        self._runs.clear()

    def _commit(self) -> None:
        recorded = [each.change for each in self._under_way]
        self._commands.append(events.Commit(self._number, recorded))

    def _committed(self, event: events.Committed) -> None:
        if event.number != self._number or not self._under_way:
            return
        done, self._under_way = self._under_way, []
        for decision, verdict in zip(done, event.verdicts, strict=True):
            decision.then(verdict)

    def _commit_unknown(self, event: events.CommitUnknown) -> None:
        if event.number == self._number and self._under_way:
            self._commit()

    def _lease_lost(self, event: events.LeaseLost) -> None:
        self.abandon("the lease was taken over")


def _stuck(graph: OperationGraph) -> operation_pb2.Failure:
    return operation_pb2.Failure(
        reason="PLAN_STUCK",
        message=(
            f"plan {graph.plans} of the operation found neither a step nor an end; "
            "this is a fault of the planner or the plugin: report it with the operation's id"
        ),
    )
