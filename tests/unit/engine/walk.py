"""The planner walked to its end without a network: this plays conductor, scheduler and engines.

Tasks are stored once by their keys, run when what they need has succeeded, teach facts, fail, and
take along what needed them. A plan sees the facts as they were when it was begun, while the world
goes on; it is due when something failed or nothing else is left to do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Facts, Instance
from savanna.conductor.v1.facts_service_pb2 import GetPlanFactsResponse, TaskSummary
from savanna.job.v1.job_pb2 import Job
from savanna.operation.v1.operation_pb2 import Failure, Operation, Task, TaskSpec
from savanna_engine.planner import plan
from savanna_engine.planner.answer import Answer, Limits
from tests.unit.engine.lessons import learn_job, taught

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
    from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
    from savanna_engine.planner.answer import Refusal
    from savanna_pluginkit.conformance import JobExample

    Reply = Callable[[PlanRequest], PlanResponse | Refusal]

CLUSTER_ID = "6f1c1a52-5f0f-4a3b-9f2e-0c8a5f4b7d11"
OPERATION_ID = "0b8f7a3e-3f43-4be8-8f57-2a9d9c1f0e55"
LIMITS = Limits()
_ENOUGH = 5000


class Stuck(AssertionError):
    """Nothing is left that could happen, and the operation has no end."""


@dataclass
class Stored:
    """A task as it is stored."""

    spec: TaskSpec
    state: Task.State.ValueType = Task.STATE_PENDING
    failure: Failure | None = None
    is_unwanted: bool = False
    ended: float = 0.0
    begun: bool = False


@dataclass
class Walk:
    """One operation under way."""

    cluster: Cluster
    goal: Operation.Goal.ValueType
    reply: Reply
    job: JobExample | None = None
    asked: Operation = field(default_factory=Operation)
    """What else the operation says: what it tries again, what it takes back."""

    tasks: dict[str, Stored] = field(default_factory=dict)
    conclusion: Conclusion | None = None
    plans: int = 0
    answers: list[Answer] = field(default_factory=list)
    cancel_requested: bool = False
    is_superseded: bool = False
    """Whether its cancel comes from a delete of the cluster."""

    job_now: Job = field(default_factory=Job)
    exit_code: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    """Wanted counts by group, as they were asked for."""

    now: float = 1_000_000.0
    """Seconds of the day; only tests let them pass."""

    replan_at: float | None = None
    """When a plan wants to be asked again in any case."""

    time_passes: bool = False
    """Whether wandering lets time pass until a plan is due."""

    _plan_is_due: bool = True
    _plan_out: Answer | None = None
    _overtaken: bool = False
    _ending: Conclusion | None = None
    _known: dict[str, Instance] = field(default_factory=dict)
    _needing: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self._known = self.instances()
        self.counts = {each.name: each.count for each in self.cluster.node_groups}
        if self.job is not None:
            self.job_now.CopyFrom(self.job.job)

    # What planners see.

    def facts(self) -> GetPlanFactsResponse:
        operation = Operation(id=OPERATION_ID, cluster_id=self.cluster.id, goal=self.goal)
        operation.MergeFrom(self.asked)
        operation.cancel_requested = self.cancel_requested
        facts = GetPlanFactsResponse(operation=operation, cluster=self.cluster)
        facts.now_time.FromMilliseconds(int(self.now * 1000))
        facts.tasks.add(key=f"plan/{self.plans}", kind="plan", state=Task.STATE_ASSIGNED)
        for each in self.tasks.values():
            summary = TaskSummary(
                key=each.spec.key,
                instance=each.spec.instance,
                state=each.state,
                failure=each.failure,
                kind=each.spec.kind,
                needs=each.spec.needs,
                begun=each.begun,
            )
            if each.ended:
                summary.end_time.FromMilliseconds(int(each.ended * 1000))
            facts.tasks.append(summary)
        if self.job is not None:
            facts.job.CopyFrom(self.job_now)
            facts.job_template.CopyFrom(self.job.template)
            facts.job_binaries.extend(self.job.binaries)
        return facts

    def think(self) -> Answer:
        facts = self.facts()
        question = plan.question(facts, LIMITS)
        reply = None if question is None else self.reply(question)
        return plan.decide(facts, LIMITS, reply=reply, ports=(7077,))

    # What may happen.

    def plan(self) -> Answer:
        """Plan at once, as long as nothing else happens meanwhile."""
        self.begin_plan()
        return self.end_plan()

    def may_plan(self) -> bool:
        alone = not (self.cancel_requested and self.running())
        return self._plan_is_due and self._plan_out is None and self._ending is None and alone

    def plan_is_out(self) -> bool:
        return self._plan_out is not None

    def begin_plan(self) -> None:
        self.plans += 1
        self._plan_is_due = self._overtaken = False
        self._plan_out = self.think()

    def end_plan(self) -> Answer:
        answer, self._plan_out = self._plan_out, None
        assert answer is not None
        self.answers.append(answer)
        if answer.replan_after is not None:
            self.replan_at = self.now + answer.replan_after
        self._learn(answer.facts)
        if answer.conclusion is not None:
            # It ends when nothing of it runs any more.
            self._ending = answer.conclusion
            for key in self.running():
                self._unwant(key)
            self._settle()
            return answer
        for key in answer.unwanted:
            self._unwant(key)
        stored = [each for each in answer.specs if each.key not in self.tasks]
        for spec in stored:
            self.tasks[spec.key] = Stored(spec)
            for need in spec.needs:
                self._needing[need].append(spec.key)
        for spec in stored:
            self._skip_if_hopeless(spec.key)
        if not stored and not self._open() and not self._plan_is_due:
            if not self._overtaken:
                raise Stuck(f"plan {self.plans} found nothing to do and no end")
            self._plan_is_due = True
        return answer

    def able(self) -> list[str]:
        """List what engines could begin."""
        return [] if self._ending else [key for key in self.tasks if self.is_able(key)]

    def is_able(self, key: str) -> bool:
        task = self.tasks[key]
        return task.state == Task.STATE_PENDING and all(
            self.state_of(need) == Task.STATE_SUCCEEDED for need in task.spec.needs
        )

    def running(self) -> list[str]:
        return [key for key, each in self.tasks.items() if each.state == Task.STATE_ASSIGNED]

    def begin(self, key: str) -> None:
        assert self.is_able(key), f"{key} can not begin: {self.states()}"
        self.tasks[key].state = Task.STATE_ASSIGNED
        self.tasks[key].begun = True

    def succeed(self, key: str) -> None:
        task = self.tasks[key]
        task.state = Task.STATE_SUCCEEDED
        task.ended = self.now
        self._learn(taught(task.spec, self.exit_code))
        self._after(changed=task.spec.replan)

    def fail(self, key: str, reason: str = "COMMAND_FAILED", **evidence: str) -> None:
        task = self.tasks[key]
        if task.is_unwanted:
            self.stop(key)
            return
        task.state = Task.STATE_FAILED
        task.failure = Failure(
            reason=reason, message=f"{key} failed", instance=task.spec.instance, task_key=key
        )
        for name, value in evidence.items():
            setattr(task.failure, name, value)
        self._give_up_needing(key)
        self._after(changed=True)

    def stop(self, key: str) -> None:
        """End an attempt that nobody wants."""
        self.tasks[key].state = Task.STATE_SKIPPED
        self._give_up_needing(key)
        self._after(changed=True)

    def cancel(self) -> None:
        self.cancel_requested = True
        if self.is_superseded:
            self.cluster.state = Cluster.STATE_DELETING
        for key in list(self.tasks):
            self._unwant(key)
        self._after(changed=True)

    def let_time_pass(self, seconds: float | None = None) -> None:
        """Let seconds pass, or as many as until a plan is due."""
        assert seconds is not None or self.replan_at is not None
        self.now = self.now + seconds if seconds is not None else self.replan_at or 0.0
        if self.replan_at is not None and self.replan_at <= self.now:
            self.replan_at = None
            self._plan_is_due = True

    def do(self, *keys: str) -> None:
        """Let tasks succeed, one after the other."""
        for key in keys:
            self.begin(key)
            self.succeed(key)

    # Whole walks.

    def finish(self, fails: Callable[[TaskSpec], str] = lambda _: "") -> Conclusion:
        """Let everything happen in the order in which it can.

        ``fails`` gives the reason why a task fails.
        """
        for _ in range(_ENOUGH):
            if self.conclusion is not None:
                return self.conclusion
            if self.may_plan():
                self.plan()
                continue
            ready = self.running() or self.able()
            if not ready:
                raise Stuck(f"neither tasks nor a plan can run: {self.states()}")
            for key in ready:
                self._run(key, fails)
        raise Stuck("no end after thousands of steps")

    def wander(
        self,
        chance: Random,
        fails: Callable[[TaskSpec], str],
        *,
        cancel_at: int | None = None,
    ) -> Conclusion:
        """Let everything happen in an order of chance, plans overtaken by events included."""
        for number in range(_ENOUGH):
            if self.conclusion is not None:
                return self.conclusion
            if number == cancel_at:
                self.cancel()
            events: list[Callable[[], object]] = []
            events += [lambda key=key: self.begin(key) for key in self.able()]  # type: ignore[misc]  # mypy loses the default of the lambda
            events += [lambda key=key: self._end(key, fails) for key in self.running()]  # type: ignore[misc]  # as above
            if self.may_plan():
                events.append(self.begin_plan)
            if self.plan_is_out():
                events.append(self.end_plan)
            if self.time_passes and self.replan_at is not None and not self._ending:
                events.append(self.let_time_pass)
            if not events:
                raise Stuck(f"neither tasks nor a plan can run: {self.states()}")
            chance.choice(events)()
        raise Stuck("no end after thousands of steps")

    # What tests ask.

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self.tasks if key.startswith(prefix))

    def state_of(self, key: str) -> Task.State.ValueType:
        return self.tasks[key].state if key in self.tasks else Task.STATE_UNSPECIFIED

    def states(self) -> dict[str, str]:
        return {key: Task.State.Name(each.state) for key, each in self.tasks.items()}

    def instances(self, group: str = "") -> dict[str, Instance]:
        return {
            each.name: each
            for node_group in self.cluster.node_groups
            if group in ("", node_group.name)
            for each in node_group.instances
        }

    def names(self, state: Instance.State.ValueType) -> list[str]:
        return sorted(name for name, each in self.instances().items() if each.state == state)

    # What follows.

    def _run(self, key: str, fails: Callable[[TaskSpec], str]) -> None:
        state = self.state_of(key)
        if state == Task.STATE_PENDING and self.is_able(key):
            self.begin(key)
        if self.state_of(key) == Task.STATE_ASSIGNED:
            self._end(key, fails)

    def _end(self, key: str, fails: Callable[[TaskSpec], str]) -> None:
        reason = fails(self.tasks[key].spec)
        if reason:
            self.fail(key, reason)
        elif self.tasks[key].is_unwanted:
            self.stop(key)
        else:
            self.succeed(key)

    def _open(self) -> bool:
        # The youngest first: most of the others have ended.
        return any(
            each.state in (Task.STATE_PENDING, Task.STATE_ASSIGNED)
            for each in reversed(self.tasks.values())
        )

    def _settle(self) -> None:
        if self._ending is not None and not self.running():
            self.conclusion = self._ending

    def _after(self, *, changed: bool) -> None:
        self._settle()
        self._overtaken = True
        if changed or (not self._open() and self._plan_out is None):
            self._plan_is_due = True

    def _unwant(self, key: str) -> None:
        task = self.tasks[key]
        if task.state == Task.STATE_PENDING:
            task.state = Task.STATE_SKIPPED
            self._give_up_needing(key)
            self._overtaken = True
        elif task.state == Task.STATE_ASSIGNED:
            task.is_unwanted = True

    def _give_up_needing(self, key: str) -> None:
        for name in self._needing[key]:
            if self.tasks[name].state == Task.STATE_PENDING:
                self.tasks[name].state = Task.STATE_SKIPPED
                self._give_up_needing(name)

    def _skip_if_hopeless(self, key: str) -> None:
        alive = (Task.STATE_PENDING, Task.STATE_ASSIGNED, Task.STATE_SUCCEEDED)
        task = self.tasks[key]
        if any(self.state_of(need) not in alive for need in task.spec.needs):
            task.state = Task.STATE_SKIPPED
            self._give_up_needing(key)
            self._after(changed=True)

    def _learn(self, facts: Facts) -> None:
        for news in facts.instances:
            stored = self._known.get(news.name)
            if stored is None:
                group = next(
                    each for each in self.cluster.node_groups if each.name == news.node_group
                )
                stored = self._known[news.name] = group.instances.add()
            before = stored.state
            state = max(before, news.state)
            stored.MergeFrom(news)
            if state != before:
                stored.update_time.FromMilliseconds(int(self.now * 1000))
            stored.state = state
        for name in facts.staying:
            if self._known[name].state == Instance.STATE_LEAVING:
                self._known[name].state = Instance.STATE_READY
        if facts.serves:
            self.asked.is_completing = True
            self.cluster.state = Cluster.STATE_ACTIVE
        if facts.HasField("status_description"):
            self.cluster.status_description = facts.status_description
        if facts.HasField("info"):
            self.cluster.info.CopyFrom(facts.info)
        for name, count in facts.node_group_counts.items():
            next(each for each in self.cluster.node_groups if each.name == name).count = count
        if facts.job:
            learn_job(self.job_now, facts)
