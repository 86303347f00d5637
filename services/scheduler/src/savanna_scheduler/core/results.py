"""What follows from the end of an attempt: retry, give up, plan again, end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import changes, policy
from savanna_scheduler.core.graph import OperationGraph, Phase, TaskNode

if TYPE_CHECKING:
    from savanna_scheduler.core.scheduler import SchedulerCore

Attempt = operation_pb2.Attempt
Failure = operation_pb2.Failure
Operation = operation_pb2.Operation
Task = operation_pb2.Task
Verdict = execution.Verdict


class Results:
    """Turns results into decisions."""

    def __init__(self, core: SchedulerCore) -> None:
        self._core = core
        self.recording: set[tuple[str, int]] = set()
        """Attempts whose results are on their way into the database."""

    def take(self, node: TaskNode, result: stream.Result) -> None:
        """Take the result of an attempt that still holds its task."""
        kind = result.WhichOneof("outcome")
        if kind == "succeeded":
            self._succeeded(node, result.succeeded)
        elif kind == "not_yet":
            self._not_yet(node, result.not_yet)
        elif kind == "cancelled":
            self._cancelled(node)
        else:
            self._failed(node, result.failed)

    def put_back(
        self,
        node: TaskNode,
        outcome: Attempt.Outcome.ValueType,
        delay: float,
        *,
        failure: Failure | None = None,
        facts: bytes = b"",
    ) -> None:
        """Put a task back, to be handed out again after a delay in seconds."""
        change = changes.defer(node, outcome, delay=delay, failure=failure, facts=facts)
        epoch, session_id = node.epoch, node.session_id
        self._core.release(node)
        node.graph.assigned -= 1
        node.phase = Phase.WAITING
        self.recording.add((node.id, epoch))

        def recorded(verdict: Verdict) -> None:
            self._recorded(node, epoch, session_id, verdict)
            node.not_before = self._core.now + delay
            self._core.make_ready(node)

        self._core.decide(change, recorded)

    def lose(self, node: TaskNode) -> None:
        """Take a task back from an engine that is silent; valid only if its lease is over by the
        database's clock."""
        if node.phase is not Phase.ASSIGNED or (node.id, node.epoch) in self.recording:
            return
        self.recording.add((node.id, node.epoch))
        if node.lost + 1 >= self._core.policy.lost_attempts:
            self._decide_lost(node, give_up=True)
        else:
            self._decide_lost(node, give_up=False)

    def _decide_lost(self, node: TaskNode, *, give_up: bool) -> None:
        attempt = (node.id, node.epoch)
        change = changes.defer(node, Attempt.OUTCOME_LOST)

        def recorded(verdict: Verdict) -> None:
            self.recording.discard(attempt)
            if verdict.code == Verdict.CODE_SESSION_ALIVE:
                self._core.watch_again(node)
                return
            self._core.must_apply(verdict)
            self._core.release(node)
            node.lost += 1
            node.graph.assigned -= 1
            node.phase = Phase.WAITING
            if give_up:
                self._quarantine(node)
            elif node.unwanted:
                self.skip(node)
            else:
                self._core.make_ready(node)

        self._core.decide(change, recorded)

    def _quarantine(self, node: TaskNode) -> None:
        failure = Failure(
            reason="QUARANTINED",
            message=(
                f"'{node.spec.title or node.spec.key}' was given up: {node.lost} engines were lost "
                "while they did it; look at the engines' logs before you try again"
            ),
            instance=node.spec.instance,
            task_key=node.spec.key,
        )
        self._core.decide(changes.skip(node))
        if node.spec.is_plan:
            self._core.end(node.graph, Operation.STATE_FAILED, failure)
        self._after(node, succeeded=False)

    def cancel(self, graph: OperationGraph) -> None:
        """Act on the wish to end an operation: skip what waits, stop what runs, plan towards the
        end."""
        self._core.decide(changes.acknowledge_cancel(graph.id))
        for node in list(graph.tasks.values()):
            if node.phase in (Phase.WAITING, Phase.READY):
                self._core.decide(changes.skip(node))
                graph.end(node, succeeded=False)
            elif node.is_open and not node.spec.is_plan:
                self._unwant(node)
        self._core.plan_again(graph)

    def skip(self, node: TaskNode) -> None:
        """Give up a task that is not handed out, and all that needs it."""
        if node.phase in (Phase.WAITING, Phase.READY):
            self._core.decide(changes.skip(node))
            self._after(node, succeeded=False)

    def stop(self, node: TaskNode) -> None:
        """Ask an engine to stop an attempt."""
        refs = [stream.AttemptRef(task_id=node.id, epoch=node.epoch)]
        message = stream.ConnectResponse(cancel=stream.Cancel(attempts=refs))
        self._core.send(node.session_id, message)

    def _unwant(self, node: TaskNode) -> None:
        """Have an attempt stopped; one whose hand-out is still being recorded is stopped right
        after."""
        node.unwanted = True
        if node.phase is Phase.ASSIGNED:
            self.stop(node)

    def _succeeded(self, node: TaskNode, result: stream.Succeeded) -> None:
        graph = node.graph
        change = changes.finish(
            node, Task.STATE_SUCCEEDED, Attempt.OUTCOME_SUCCEEDED, facts=result.facts
        )
        self._finish(node, change)
        freed = graph.end(node, succeeded=True)
        for key in result.unwanted:
            unwanted = graph.tasks.get(key)
            if unwanted is None or not unwanted.is_open:
                continue
            if unwanted.phase in (Phase.WAITING, Phase.READY):
                self._core.decide(changes.skip(unwanted))
                graph.end(unwanted, succeeded=False)
            else:
                self._unwant(unwanted)
        if result.HasField("conclusion"):
            end = result.conclusion
            failure = end.failure if end.HasField("failure") else None
            self._core.end(graph, end.state, failure)
            return
        if result.spawn:
            self._core.spawn(graph, list(result.spawn))
        elif graph.open_tasks == 0:
            self._nothing_left(node)
        for each in freed:
            self._core.make_ready(each)
        self._wake_plan(graph)

    def _nothing_left(self, node: TaskNode) -> None:
        """Plan again; but a plan that found nothing to do and no end would find the same again."""
        if node.spec.is_plan:
            self._core.spawn(node.graph, [])
        else:
            self._core.plan_again(node.graph)

    def _not_yet(self, node: TaskNode, result: stream.NotYet) -> None:
        if node.unwanted:
            self._stopped(node, result.facts)
            return
        now = self._core.now
        node.waiting_since = now if node.waiting_since is None else node.waiting_since
        limit = node.spec.patience.ToMilliseconds() / 1000
        if node.spec.HasField("patience") and now - node.waiting_since > limit:
            failure = Failure(
                reason="TIMED_OUT",
                message=(
                    f"'{node.spec.title or node.spec.key}' was not done after {limit:.0f} s of "
                    "waiting: look at the last output of the host, then try again"
                ),
                instance=node.spec.instance,
                task_key=node.spec.key,
            )
            self._give_up(node, failure)
            return
        delay = result.retry_after.ToMilliseconds() / 1000
        self.put_back(node, Attempt.OUTCOME_NOT_YET, delay, facts=result.facts)

    def _failed(self, node: TaskNode, failure: Failure) -> None:
        failure.task_key = failure.task_key or node.spec.key
        node.failed += 1
        if node.unwanted:
            self._stopped(node)
            return
        spent = node.failed >= policy.most_attempts(node.spec)
        if spent or not failure.retryable:
            self._give_up(node, failure)
            return
        delay = policy.retry_delay(node.spec, node.failed, self._core.chance.random())
        self.put_back(node, Attempt.OUTCOME_FAILED, delay, failure=failure)

    def _give_up(self, node: TaskNode, failure: Failure) -> None:
        change = changes.finish(node, Task.STATE_FAILED, Attempt.OUTCOME_FAILED, failure=failure)
        self._finish(node, change)
        if node.spec.is_plan:
            node.graph.end(node, succeeded=False)
            self._core.end(node.graph, Operation.STATE_FAILED, failure)
            return
        self._after(node, succeeded=False)

    def _cancelled(self, node: TaskNode) -> None:
        if node.unwanted:
            self._stopped(node)
        else:
            # Nobody asked for it here: an engine that ends has stopped it.
            self.put_back(node, Attempt.OUTCOME_CANCELLED, 0.0)

    def _stopped(self, node: TaskNode, facts: bytes = b"") -> None:
        """End an attempt that nobody wants any more."""
        change = changes.finish(node, Task.STATE_SKIPPED, Attempt.OUTCOME_CANCELLED, facts=facts)
        self._finish(node, change)
        self._after(node, succeeded=False)

    def _after(self, node: TaskNode, *, succeeded: bool) -> None:
        """Follow up the end of a task without success: what needed it can never run, and the plan
        must know."""
        graph = node.graph
        for doomed in graph.doomed(node):
            self._core.decide(changes.skip(doomed))
            graph.end(doomed, succeeded=False)
        graph.end(node, succeeded=succeeded)
        if not graph.ending:
            self._core.plan_again(graph)
            self._wake_plan(graph)

    def _wake_plan(self, graph: OperationGraph) -> None:
        plan = graph.pending_plan()
        if plan is not None:
            self._core.make_ready(plan)

    def _finish(self, node: TaskNode, change: execution.Change) -> None:
        epoch, session_id = node.epoch, node.session_id
        self._core.release(node)
        self.recording.add((node.id, epoch))
        self._core.decide(change, lambda verdict: self._recorded(node, epoch, session_id, verdict))

    def _recorded(self, node: TaskNode, epoch: int, session_id: str, verdict: Verdict) -> None:
        self.recording.discard((node.id, epoch))
        if verdict.code == Verdict.CODE_INVALID:
            self._refuse(node, epoch, session_id)
        else:
            self._core.must_apply(verdict)
        self._core.acknowledge(session_id, node.id, epoch)

    def _refuse(self, node: TaskNode, epoch: int, session_id: str) -> None:
        """End an operation whose engine told facts that the conductor can not take: trying again
        would not help."""
        failure = Failure(
            reason="FACTS_REFUSED",
            message=(
                f"what '{node.spec.title or node.spec.key}' told of the cluster was refused; this "
                "is a fault of the engine or the plugin: report it with the operation's id"
            ),
            instance=node.spec.instance,
            task_key=node.spec.key,
        )
        if not node.graph.ending:
            self._core.end(node.graph, Operation.STATE_FAILED, failure)
