"""How far an operation is: journal entries in, a picture out. No clock, no terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Attempt, Failure, JournalEntry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PLAN = "plan"
# What a launch, a scale and a delete begin with says no more than that they have begun.
_FIRST_STATES = ("Validating", "Scaling", "Deleting")
_TROUBLE = {
    Attempt.OUTCOME_FAILED: "failed, trying again",
    Attempt.OUTCOME_LOST: "its engine was lost, trying elsewhere",
    Attempt.OUTCOME_INTERRUPTED: "Savanna ended meanwhile, trying again",
}


class Mark(StrEnum):
    """How far a step, a host or a group of steps is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass
class Step:
    """One task of the operation; times are seconds of the epoch, 0 for not yet."""

    title: str
    host: str
    mark: Mark = Mark.WAITING
    started: float = 0.0
    ended: float = 0.0
    troubles: int = 0
    failure: Failure | None = None

    def seconds(self, now: float) -> float:
        """Give how long it took, or takes so far."""
        return max(0.0, (self.ended or now) - self.started) if self.started else 0.0


@dataclass(frozen=True)
class Group:
    """All steps of one title."""

    title: str
    mark: Mark
    total: int
    done: int
    seconds: float


@dataclass(frozen=True)
class Host:
    """A host and the step that it is at: the one that runs, or the last one."""

    name: str
    mark: Mark
    title: str
    seconds: float


@dataclass(frozen=True)
class Happening:
    """Something worth a line: ``at`` is in seconds since the operation began."""

    at: float
    host: str
    text: str
    mark: Mark
    seconds: float | None = None
    """How long it took, for steps that are done."""


@dataclass
class Progress:
    """An operation as its journal tells it; ``name`` is the cluster's."""

    name: str
    state: str = ""
    """What the cluster is doing, in its own word."""

    outcome: str = ""
    """"SUCCEEDED", "FAILED" or "CANCELLED" once it has ended."""

    failure: Failure | None = None
    began: float = 0.0
    ended: float = 0.0
    latest: float = 0.0
    steps: dict[str, Step] = field(default_factory=dict)

    def feed(self, entry: JournalEntry) -> Happening | None:
        """Take in what happened; give it back when it is worth a line."""
        time = entry.time.seconds + entry.time.nanos / 1e9
        self.latest = max(self.latest, time)
        self.began = self.began or time
        told = _FEEDS.get(entry.kind, _nothing)(self, entry, time)
        return told if told is None else Happening(time - self.began, *told)

    def elapsed(self, now: float) -> float:
        """Give the seconds since the operation began, until it ended."""
        return max(0.0, (self.ended or max(now, self.latest)) - self.began) if self.began else 0.0

    def groups(self, now: float) -> list[Group]:
        """Give the steps by title, in the order in which they were planned."""
        by_title: dict[str, list[Step]] = {}
        for step in self.steps.values():
            by_title.setdefault(step.title, []).append(step)
        return [_group(title, steps, max(now, self.latest)) for title, steps in by_title.items()]

    def hosts(self, now: float) -> list[Host]:
        """Give the hosts in the order in which they were planned."""
        by_host: dict[str, list[Step]] = {}
        for step in self.steps.values():
            if step.host:
                by_host.setdefault(step.host, []).append(step)
        return [_host(name, steps, max(now, self.latest)) for name, steps in by_host.items()]

    def _close(self) -> None:
        """Nothing of an ended operation goes on."""
        for step in self.steps.values():
            if step.mark in (Mark.WAITING, Mark.RUNNING):
                # One that was to be tried again ends as the failure that it was.
                step.mark = Mark.FAILED if step.failure is not None else Mark.SKIPPED
                step.ended = self.ended


_Told = tuple[str, str, Mark] | tuple[str, str, Mark, float] | None


def _nothing(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    del progress, entry, time
    return None


def _operation_changed(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    if entry.state == "HELD":
        return progress.name, f"held: {entry.message}", Mark.WAITING
    if entry.state in ("SUCCEEDED", "FAILED", "CANCELLED"):
        progress.outcome, progress.ended = entry.state, time
        if entry.HasField("failure"):
            progress.failure = entry.failure
        progress._close()
    return None


def _task_created(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    del time
    if entry.task_kind != _PLAN:
        progress.steps.setdefault(entry.task_id, Step(entry.title, entry.instance))
    return None


def _task_assigned(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    step = progress.steps.get(entry.task_id)
    if step is not None:
        step.mark, step.started = Mark.RUNNING, step.started or time
    return None


def _task_ended(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    succeeded = entry.outcome == Attempt.OUTCOME_SUCCEEDED
    step = progress.steps.get(entry.task_id)
    if step is None:
        return None if succeeded else _trouble(progress, entry, "failed")
    step.mark = Mark.DONE if succeeded else Mark.FAILED
    step.ended = time
    step.failure = None if succeeded else entry.failure
    if not succeeded:
        return _trouble(progress, entry, "failed")
    again = f", try {step.troubles + 1}" if step.troubles else ""
    return step.host or progress.name, step.title + again, Mark.DONE, step.seconds(time)


def _task_retried(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    del time
    if entry.outcome not in _TROUBLE:
        return None
    step = progress.steps.get(entry.task_id)
    if step is not None:
        step.mark, step.failure = Mark.WAITING, entry.failure
        step.troubles += 1
    return _trouble(progress, entry, _TROUBLE[entry.outcome])


def _task_skipped(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    step = progress.steps.get(entry.task_id)
    if step is not None:
        step.mark, step.ended = Mark.SKIPPED, time
    return None


def _cluster_changed(progress: Progress, entry: JournalEntry, time: float) -> _Told:
    del time
    before, progress.state = progress.state, entry.state
    if entry.state in (before, *_FIRST_STATES):
        return None
    mark = {"Error": Mark.FAILED, "Active": Mark.DONE}.get(entry.state, Mark.RUNNING)
    return progress.name, f"is now {entry.state}", mark


def _trouble(progress: Progress, entry: JournalEntry, what: str) -> _Told:
    failure = entry.failure
    why = ": ".join(each for each in (failure.reason, failure.message) if each)
    text = f"{entry.title}: {what}" + (f" ({why})" if why else "")
    return entry.instance or progress.name, text, Mark.FAILED


_FEEDS: dict[JournalEntry.Kind.ValueType, Callable[[Progress, JournalEntry, float], _Told]] = {
    JournalEntry.KIND_OPERATION_CREATED: _operation_changed,
    JournalEntry.KIND_OPERATION_CHANGED: _operation_changed,
    JournalEntry.KIND_TASK_CREATED: _task_created,
    JournalEntry.KIND_TASK_ASSIGNED: _task_assigned,
    JournalEntry.KIND_TASK_ENDED: _task_ended,
    JournalEntry.KIND_TASK_RETRIED: _task_retried,
    JournalEntry.KIND_TASK_SKIPPED: _task_skipped,
    JournalEntry.KIND_CLUSTER_CHANGED: _cluster_changed,
}


def _group(title: str, steps: list[Step], now: float) -> Group:
    started = [each.started for each in steps if each.started]
    mark = _mark(steps)
    over = mark in (Mark.DONE, Mark.FAILED, Mark.SKIPPED)
    end = max((each.ended for each in steps), default=0.0) if over else now
    done = sum(each.mark is Mark.DONE for each in steps)
    seconds = max(0.0, end - min(started)) if started else 0.0
    return Group(title, mark, len(steps), done, seconds)


def _mark(steps: Iterable[Step]) -> Mark:
    marks = {each.mark for each in steps}
    if Mark.RUNNING in marks or (Mark.WAITING in marks and marks & {Mark.DONE, Mark.FAILED}):
        return Mark.RUNNING
    for mark in (Mark.WAITING, Mark.FAILED, Mark.SKIPPED):
        if mark in marks:
            return mark
    return Mark.DONE


def _host(name: str, steps: list[Step], now: float) -> Host:
    running = [each for each in steps if each.mark is Mark.RUNNING]
    failed = [each for each in steps if each.mark is Mark.FAILED]
    ended = [each for each in steps if each.ended]
    waiting = [each for each in steps if each.mark is Mark.WAITING]
    if running:
        step = max(running, key=lambda each: each.started)
    elif failed:
        step = failed[-1]
    elif waiting:
        step = waiting[0]
    else:
        step = max(ended, key=lambda each: each.ended)
    return Host(name, step.mark, step.title, step.seconds(now))
