"""The facts of an operation, seen the way that planners ask about them."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Failure, Task

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from savanna.conductor.v1 import facts_service_pb2 as facts_service
    from savanna.operation.v1.operation_pb2 import TaskSpec

_OPEN = (Task.STATE_PENDING, Task.STATE_ASSIGNED)
_CLEANING = ("delete_server", "remove_cluster", "stop_job")
"""Kinds of steps whose failure follows upon another one."""


class Situation:
    """One snapshot.

    Nothing of it is ever changed.
    """

    def __init__(self, facts: facts_service.GetPlanFactsResponse) -> None:
        self.facts = facts
        self.operation = facts.operation
        self.cluster = facts.cluster
        self.tasks = {each.key: each for each in facts.tasks}

    @cached_property
    def instances(self) -> dict[str, Instance]:
        """All instances by name, failed and deleted ones too."""
        return {each.name: each for group in self.cluster.node_groups for each in group.instances}

    @cached_property
    def _by_instance(self) -> dict[str, list[facts_service.TaskSummary]]:
        found = defaultdict(list)
        for each in self.facts.tasks:
            found[each.instance].append(each)
        return found

    def tasks_about(self, instance: str) -> list[facts_service.TaskSummary]:
        """List the stored tasks about an instance."""
        return self._by_instance.get(instance, [])

    @cached_property
    def _told_of(self) -> dict[str, list[facts_service.TaskSummary]]:
        found = defaultdict(list)
        for each in self.facts.tasks:
            if each.kind != "run_script" or each.state not in (*_OPEN, Task.STATE_SUCCEEDED):
                continue
            named = {self.tasks[need].instance for need in each.needs if need in self.tasks}
            for instance in named - {"", each.instance}:
                found[instance].append(each)
        return found

    def told_of(self, instance: str) -> list[facts_service.TaskSummary]:
        """List scripts on other instances, open or done, that waited for something about this
        one."""
        return self._told_of.get(instance, [])

    @cached_property
    def failed_tasks(self) -> list[facts_service.TaskSummary]:
        """List tasks that were given up, in order of their keys."""
        failed = [each for each in self.facts.tasks if each.state == Task.STATE_FAILED]
        return sorted(failed, key=lambda each: each.key)

    @property
    def is_superseded(self) -> bool:
        """Say whether the cluster is about to be deleted by an operation that waits for this
        one."""
        return self.operation.cancel_requested and self.cluster.state == Cluster.STATE_DELETING

    def has_succeeded(self, key: str) -> bool:
        """Say whether a task is stored and did what it should."""
        task = self.tasks.get(key)
        return task is not None and task.state == Task.STATE_SUCCEEDED

    def is_running(self, key: str) -> bool:
        """Say whether an engine has a task."""
        task = self.tasks.get(key)
        return task is not None and task.state == Task.STATE_ASSIGNED

    def is_open(self, key: str) -> bool:
        """Say whether a task waits or runs."""
        task = self.tasks.get(key)
        return task is not None and task.state in _OPEN

    @cached_property
    def is_busy(self) -> bool:
        """Say whether engines have tasks other than plans: then nothing may end yet."""
        return any(
            each.state == Task.STATE_ASSIGNED and each.kind != "plan" for each in self.facts.tasks
        )

    def has_failed(self, key: str) -> bool:
        """Say whether a task was given up."""
        task = self.tasks.get(key)
        return task is not None and task.state == Task.STATE_FAILED

    def open_tasks(self, instance: str | None = None) -> Iterator[facts_service.TaskSummary]:
        """List tasks, of one instance or of all, that wait or run; plans are left out."""
        tasks = self.facts.tasks if instance is None else self.tasks_about(instance)
        for each in tasks:
            if each.state in _OPEN and each.kind != "plan":
                yield each

    @property
    def is_cancelled(self) -> bool:
        """Say whether a user wishes the end; a deadline that passed ends an operation too, as a
        failure."""
        operation = self.operation
        return operation.cancel_requested and not operation.deadline_exceeded

    @property
    def now(self) -> float:
        """Seconds of the day when the facts were read, as all times in them."""
        return self.facts.now_time.ToMilliseconds() / 1000

    def booting_since(self, instance: str) -> float | None:
        """Give the time since when a server is waited for; None when it is not."""
        made = self.tasks.get(f"create/{instance}")
        waits = self.tasks.get(f"await/{instance}")
        if made is None or waits is None or waits.state not in _OPEN:
            return None
        return _seconds(made) if made.state == Task.STATE_SUCCEEDED else None

    def boot_seconds(self, instance: str) -> float | None:
        """Give the time that a server took from being made until it answered; None while it does
        not."""
        made = self.tasks.get(f"create/{instance}")
        waits = self.tasks.get(f"await/{instance}")
        if made is None or waits is None or waits.state != Task.STATE_SUCCEEDED:
            return None
        return _seconds(waits) - _seconds(made)

    def made_here(self, instance: str) -> bool:
        """Say whether this operation asked the cloud for an instance."""
        return f"create/{instance}" in self.tasks

    def is_new(self, instance: Instance) -> bool:
        """Say whether an instance never worked before this operation: it may be given up, while one
        that worked stays whatever fails on it."""
        return self.made_here(instance.name) or instance.state < Instance.STATE_READY

    def current_key(self, key: str, dropped: Collection[str] = ()) -> str:
        """Give the key under which a step is to be stored or was stored.

        A step that was skipped, or is being dropped, does not count; when it is wanted again, it is
        stored once more under the next name.
        """
        name, number = key, 1
        while (task := self.tasks.get(name)) is not None and (
            task.state == Task.STATE_SKIPPED or name in dropped
        ):
            number += 1
            name = f"{key}~{number}"
        return name

    def again(self, spec: TaskSpec) -> TaskSpec:
        """Give a task the key under which it is to be stored or was stored."""
        spec.key = self.current_key(spec.key)
        return spec


def _seconds(task: facts_service.TaskSummary) -> float:
    """Give the time at which a task ended."""
    return task.end_time.ToMilliseconds() / 1000


def too_late(what: str) -> Failure:
    """Tell of an operation whose deadline has passed."""
    return Failure(
        reason="DEADLINE_EXCEEDED",
        message=f"the {what} was not done before its deadline: its steps say what took so long",
    )


def evidence(situation: Situation) -> Failure:
    """Choose the failure that tells most of why an operation was given up."""
    failed = [each for each in situation.failed_tasks if each.failure.message]
    causes = [each.failure for each in failed if each.kind not in _CLEANING]
    told = [each for each in causes if each.command or each.output_tail]
    for each in (*told, *causes, *(each.failure for each in failed)):
        return each
    messages = sorted(each.failure_message for each in situation.instances.values())
    message = next((each for each in messages if each), "a step failed")
    return Failure(reason="INSTANCE_FAILED", message=message)
