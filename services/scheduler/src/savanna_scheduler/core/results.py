"""What follows from the end of an attempt: the task ends, is tried again, or waits for its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_scheduler.core import changes, failures, policy
from savanna_scheduler.core.graph import Ending, Phase, TaskNode

if TYPE_CHECKING:
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream
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
        """Attempts whose ends are on their way into the database."""

    def take(self, node: TaskNode, result: stream.Result) -> None:
        """Take the result of an attempt that still holds its task."""
        kind = result.WhichOneof("outcome")
        if kind == "succeeded":
            self._succeeded(node, result.succeeded)
        elif kind == "not_yet":
            self._not_yet(node, result.not_yet)
        elif kind == "cancelled":
            self.not_begun(node, 0.0)
        else:
            self._failed(node, result.failed)

    def not_begun(self, node: TaskNode, delay: float) -> None:
        """Take back a task that an engine has not begun or has stopped; it counts as no try."""
        if node.unwanted:
            self.stopped(node)
        else:
            self._put_back(node, Attempt.OUTCOME_CANCELLED, delay)

    def stopped(self, node: TaskNode, facts: bytes = b"") -> None:
        """End an attempt that nobody wants any more."""
        change = changes.finish(node, Task.STATE_SKIPPED, Attempt.OUTCOME_CANCELLED, facts=facts)
        self._finish(node, change)
        self._core.course.ended_in_vain(node)

    def record_conclusion(self, ending: Ending) -> None:
        """Record the result of the plan that ends its operation."""
        node, result = ending.plan, ending.result
        if node is not None and result is not None:
            self._finish(node, _success(node, result))
            node.graph.end(node, succeeded=True)

    def lose(self, node: TaskNode) -> None:
        """Take a task back from a silent engine; valid only if its session is over by the
        database's clock."""
        if node.phase is not Phase.ASSIGNED or node.attempt in self.recording or node.graph.is_over:
            return
        attempt, session_id = node.attempt, node.session_id
        self.recording.add(attempt)
        failure = None
        change = changes.defer(node, Attempt.OUTCOME_LOST)
        if self.is_last_loss(node):
            failure = failures.quarantined(node, node.lost + 1)
            change = changes.finish(node, Task.STATE_FAILED, Attempt.OUTCOME_LOST, failure=failure)

        def recorded(verdict: Verdict) -> None:
            if verdict.code == Verdict.CODE_SESSION_ALIVE:
                self.recording.discard(attempt)
                self._core.still_held(node, self._core.policy.look_again)
                self._core.course.go_on(node.graph)
                return
            self._core.must_apply(verdict)
            # Before it leaves the session's hands: what was in them tells whether it was bad luck.
            self._core.session_over(session_id)
            self.recording.discard(attempt)
            node.lost += 1
            self._core.release(node)
            if failure is not None:
                self._core.trust.acquit(node.id)
            self._was_lost(node, failure)

        self._core.decide(node.graph, change, recorded)

    def is_last_loss(self, node: TaskNode) -> bool:
        """Say whether a task is given up if another engine is lost with it."""
        return node.lost + 1 >= self._core.policy.lost_attempts and not node.unwanted

    def _was_lost(self, node: TaskNode, failure: Failure | None) -> None:
        graph, course = node.graph, self._core.course
        if failure is not None:
            self._given_up(node, failure)
            return
        graph.put_back(node)
        if graph.ending is not None and graph.ending.plan is node:
            course.resume(graph)
        if node.unwanted:
            course.skip(node)
        else:
            self._core.make_ready(node)
        course.go_on(graph)

    def give_up(self, node: TaskNode, failure: Failure) -> None:
        """Give up a task that no engine has, as failed."""
        self._core.decide(node.graph, changes.skip(node, failure), self._core.must_apply)
        self._given_up(node, failure)

    def _succeeded(self, node: TaskNode, result: stream.Succeeded) -> None:
        graph, course = node.graph, self._core.course
        if result.HasField("conclusion"):
            end = result.conclusion
            failure = end.failure if end.HasField("failure") else None
            if graph.ending is None:
                course.conclude(graph, Ending(end.state, failure, node, result))
            if graph.ending is not None and graph.ending.plan is node:
                # Recorded together with the end, when the rest has stopped.
                return
        self._finish(node, _success(node, result))
        freed = graph.end(node, succeeded=True)
        if node.unwanted:
            # Done before it could be stopped: whoever did not want it must know.
            course.plan_again(graph)
        else:
            self._follow(node, result)
        if node.spec.replan:
            course.plan_again(graph)
        for each in freed:
            self._core.make_ready(each)
        course.go_on(graph)

    def _follow(self, node: TaskNode, result: stream.Succeeded) -> None:
        """Do what a plan says; look for what is left."""
        graph, course = node.graph, self._core.course
        if graph.ending is not None:
            return
        for key in result.unwanted:
            course.give_up(graph, key)
        if result.HasField("replan_after"):
            delay = result.replan_after.ToMilliseconds() / 1000
            course.plan_later(graph, max(delay, self._core.policy.least_wait))
        if result.spawn:
            course.spawn(graph, result.spawn, result.ByteSize() - len(result.facts))
        else:
            course.look_for_more(graph)

    def _not_yet(self, node: TaskNode, result: stream.NotYet) -> None:
        if node.unwanted:
            self.stopped(node, result.facts)
            return
        now = self._core.now
        node.waiting_since = now if node.waiting_since is None else node.waiting_since
        limit = node.spec.patience.ToMilliseconds() / 1000
        if node.spec.HasField("patience") and now - node.waiting_since > limit:
            self._fail(node, failures.timed_out(node, limit))
            return
        delay = max(result.retry_after.ToMilliseconds() / 1000, self._core.policy.least_wait)
        self._put_back(node, Attempt.OUTCOME_NOT_YET, delay, facts=result.facts)

    def _failed(self, node: TaskNode, failure: Failure) -> None:
        if node.unwanted:
            self.stopped(node)
            return
        failure.task_key = failure.task_key or node.spec.key
        node.failed += 1
        spent = node.failed >= policy.most_attempts(node.spec)
        if spent or not failure.retryable:
            self._fail(node, failure)
            return
        delay = policy.retry_delay(node.spec, node.failed, self._core.chance.random())
        self._put_back(node, Attempt.OUTCOME_FAILED, delay, failure=failure)

    def _fail(self, node: TaskNode, failure: Failure) -> None:
        change = changes.finish(node, Task.STATE_FAILED, Attempt.OUTCOME_FAILED, failure=failure)
        self._finish(node, change)
        self._given_up(node, failure)

    def _given_up(self, node: TaskNode, failure: Failure) -> None:
        """Follow up a task that failed for good; without its plan an operation can not go on."""
        graph, course = node.graph, self._core.course
        if not node.spec.is_plan:
            course.ended_in_vain(node)
            return
        graph.end(node, succeeded=False)
        if graph.ending is not None and graph.ending.plan is node:
            graph.ending = None
        course.end(graph, Operation.STATE_FAILED, failures.unplanned(graph, failure))
        course.go_on(graph)

    # Recording.

    def _put_back(
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
        node.not_before = self._core.now + delay
        self._record(node, change, then_ready=True)
        node.graph.put_back(node)
        self._core.course.go_on(node.graph)

    def _finish(self, node: TaskNode, change: execution.Change) -> None:
        self._record(node, change, then_ready=False)

    def _record(self, node: TaskNode, change: execution.Change, *, then_ready: bool) -> None:
        """Record the end of an attempt; only then is its result acknowledged."""
        attempt, session_id = node.attempt, node.session_id
        self._core.release(node)
        self.recording.add(attempt)

        def recorded(verdict: Verdict) -> None:
            if verdict.code == Verdict.CODE_INVALID:
                node.graph.refused.append(node)
                failure = failures.facts_refused(node)
                self._core.course.end(node.graph, Operation.STATE_FAILED, failure)
                return
            self._core.must_apply(verdict)
            self.recording.discard(attempt)
            self._core.outbox.acknowledge(session_id, *attempt)
            if then_ready:
                self._core.make_ready(node)

        self._core.decide(node.graph, change, recorded)


def _success(node: TaskNode, result: stream.Succeeded) -> execution.Change:
    return changes.finish(node, Task.STATE_SUCCEEDED, Attempt.OUTCOME_SUCCEEDED, facts=result.facts)
