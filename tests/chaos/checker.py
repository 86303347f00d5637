"""Finds in a history what must never be in one; it knows nothing of how the parts work."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import Attempt as Told
from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
from tests.chaos.history import by_task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.chaos.history import Attempt, History, Run

Entry = JournalEntry
WAKING = 2.0
"""Seconds in which a process that was frozen must have told its attempts to stop: what they do
until then is refused by hosts and database, which is checked there."""

LOSSES = {Told.OUTCOME_LOST: 3, Told.OUTCOME_INTERRUPTED: 10}
"""A task may be given up once so many of its attempts ended so."""

GIVEN_UP = 0.02
"""The share of operations that may be given up: engines die of the adversary, not of tasks."""

JOB_KEY = "run"
"""Name of the program of a job among the commands on a host."""

_ENDED = frozenset((Operation.STATE_SUCCEEDED, Operation.STATE_FAILED, Operation.STATE_CANCELLED))
_OVER = (Entry.KIND_TASK_ENDED, Entry.KIND_TASK_SKIPPED)


class Fault(StrEnum):
    """Kinds of faults, as the report counts them."""

    LOST = "lost"
    TWO_OWNERS = "run by two owners at once"
    REQUEST = "acknowledged requests lost"
    ORPHAN = "orphans"
    END = "operations without a right end"
    JOURNAL = "faults of the journal"
    LOGGED = "faults that nobody foresaw"


@dataclass(frozen=True)
class Violation:
    """Something that must never happen."""

    fault: Fault
    text: str

    def __str__(self) -> str:
        return f"{self.fault}: {self.text}"


def violations(history: History) -> list[Violation]:
    """List all that is wrong."""
    found = []
    for fault, look in (
        (Fault.JOURNAL, _journal),
        (Fault.LOST, _lost),
        (Fault.TWO_OWNERS, _two_owners),
        (Fault.TWO_OWNERS, _two_runs),
        (Fault.REQUEST, _requests),
        (Fault.END, _ends),
        (Fault.END, _given_up_too_often),
        (Fault.ORPHAN, _orphans),
        (Fault.LOGGED, _logged),
    ):
        found += [Violation(fault, text) for text in look(history)]
    for each in history.complaints:
        kind, _, text = each.partition(" ")
        found.append(Violation(Fault[kind], text))
    return found


def _journal(history: History) -> Iterator[str]:
    """It is one line without holes, the same to all, and tells nothing of a task that is over."""
    for before, after in pairwise(history.journal):
        if after.sequence != before.sequence + 1:
            yield f"{before.sequence} is followed by {after.sequence}"
    followed = [each.sequence for each in history.followed]
    if followed != [each.sequence for each in history.journal[: len(followed)]]:
        yield "who watched all the time was told something else than is written"
    over: dict[str, Entry] = {}
    epochs: dict[str, int] = {}
    for entry in history.journal:
        if not entry.task_id:
            continue
        if entry.task_id in over:
            yield f"{_of(entry)} goes on at {entry.sequence}, although it was over"
        if entry.kind == Entry.KIND_TASK_ASSIGNED:
            if entry.epoch <= epochs.get(entry.task_id, 0):
                yield f"{_of(entry)} was handed out as epoch {entry.epoch} again"
            epochs[entry.task_id] = entry.epoch
        if entry.kind in _OVER:
            over[entry.task_id] = entry


def _lost(history: History) -> Iterator[str]:
    """What was recorded as done was done by the attempt it was recorded of, on its host if it has
    one, and no task is left."""
    ran = {(each.operation, each.key) for each in history.runs if each.succeeded}
    done = {(each.task, each.epoch) for each in history.attempts if each.outcome == "succeeded"}
    open_tasks: dict[str, Entry] = {}
    for entry in history.journal:
        if entry.kind == Entry.KIND_TASK_CREATED:
            open_tasks[entry.task_id] = entry
        elif entry.kind in _OVER:
            open_tasks.pop(entry.task_id, None)
        succeeded = entry.kind == Entry.KIND_TASK_ENDED and entry.outcome == Told.OUTCOME_SUCCEEDED
        if succeeded and (entry.task_id, entry.epoch) not in done:
            yield f"{_of(entry)} is recorded as done, and epoch {entry.epoch} never was"
        is_script = entry.task_kind == "run_script" and history.hosts_told_all
        if succeeded and is_script and (entry.operation_id, entry.task_key) not in ran:
            yield f"{_of(entry)} is recorded as done, and its host never ran it"
    for entry in open_tasks.values():
        operation = history.operations.get(entry.operation_id)
        if operation is None or operation.state in _ENDED:
            yield f"{_of(entry)} has no end, although its operation has"


def _two_owners(history: History) -> Iterator[str]:
    """Nobody begins a task before whoever had it has ended, died, or had time to stop."""
    for attempts in by_task(history.attempts).values():
        over, last = 0.0, None
        for attempt in attempts:
            if last is not None and attempt.epoch <= last.epoch:
                yield f"{attempt} began after epoch {last.epoch}"
            if last is not None and attempt.begin < over:
                yield f"{attempt} began {over - attempt.begin:.2f} s before {last} was over"
            if (lets_go := _lets_go(history, attempt)) >= over:
                over, last = lets_go, attempt


def _lets_go(history: History, attempt: Attempt) -> float:
    """Give the time from which on an attempt does nothing that counts.

    One that is told to stop has the time between the fence and the end of the lease; one that was
    frozen does nothing meanwhile, and stops soon after it wakes.
    """
    stopped = None if attempt.stop is None else attempt.stop + history.grace
    ends = [attempt.end, stopped, history.deaths.get(attempt.process)]
    known = [each for each in ends if each is not None and each >= attempt.begin]
    over = min(known, default=float("inf"))
    for frozen, woken in history.freezes.get(attempt.process, ()):
        if frozen >= attempt.begin and woken <= over <= woken + WAKING + history.grace:
            over = frozen
    return over


def _two_runs(history: History) -> Iterator[str]:
    """On a host a command runs once at a time, never after a later one, and a job's only once."""
    for runs in _by_command(history).values():
        for earlier, later in pairwise(runs):
            name = f"{later.key} of {later.operation} on {later.host}"
            if later.epoch <= earlier.epoch:
                yield f"{name}: epoch {later.epoch} ran after epoch {earlier.epoch}"
            if earlier.end is None or earlier.end > later.begin:
                yield f"{name}: epoch {later.epoch} began while epoch {earlier.epoch} ran"
        if len(runs) > 1 and runs[0].key == JOB_KEY:
            yield f"the job of {runs[0].operation} was started {len(runs)} times"


def _by_command(history: History) -> dict[tuple[str, str, str], list[Run]]:
    found: dict[tuple[str, str, str], list[Run]] = defaultdict(list)
    for each in sorted(history.runs, key=lambda run: run.begin):
        found[each.host, each.operation, each.key].append(each)
    return found


def _requests(history: History) -> Iterator[str]:
    """What was acknowledged is there."""
    created = {
        each.operation_id for each in history.journal if each.kind == Entry.KIND_OPERATION_CREATED
    }
    for promise in history.promises:
        if promise.operation not in created or promise.operation not in history.operations:
            yield f"{promise.goal} of {promise.cluster} ({promise.operation}) is not known"


def _ends(history: History) -> Iterator[str]:
    """Every operation has ended, and as it should."""
    wanted = {each.operation: each.wanted for each in history.promises}
    lethal = _lethal(history)
    for operation in history.operations.values():
        state = Operation.State.Name(operation.state)
        goal = Operation.Goal.Name(operation.goal)
        name = f"{goal} of {operation.cluster_name} ({operation.id})"
        if operation.state not in _ENDED:
            yield f"{name} is {state}"
        elif is_given_up(operation):
            if operation.id not in lethal:
                yield f"{name} was given up, though no task of it was lost often enough"
        elif operation.state not in wanted.get(operation.id, _ENDED):
            yield f"{name} ended {state}: {operation.failure.reason} {operation.failure.message}"


def _lethal(history: History) -> set[str]:
    """Name the operations with a task that was lost so often that it may be given up."""
    ends = Counter(
        (each.operation_id, each.task_id, each.outcome)
        for each in history.journal
        if each.outcome in LOSSES
    )
    return {
        operation for (operation, _, outcome), number in ends.items() if number >= LOSSES[outcome]
    }


def _given_up_too_often(history: History) -> Iterator[str]:
    """Hardly any operation is given up."""
    operations = history.operations.values()
    number, most = given_up(operations), max(1, int(GIVEN_UP * len(operations)))
    if number > most:
        yield f"{number} of {len(operations)} operations were given up, {most} are the most"


def is_given_up(operation: Operation) -> bool:
    """Say whether it says that it was given up because of a task that died with its engine, again
    and again.

    On the way back the same may happen to the removal of a server, which is told beside it.
    """
    reasons = ("QUARANTINED", "RESIDUE")
    return operation.state == Operation.STATE_FAILED and operation.failure.reason in reasons


def given_up(operations: Iterable[Operation]) -> int:
    """Count the operations that were given up because of that."""
    return sum(is_given_up(each) for each in operations)


def _orphans(history: History) -> Iterator[str]:
    """When every cluster is deleted the cloud has nothing, whoever sweeps afterwards."""
    yield from history.left
    deleted = {
        each.cluster_id: each.end_time.ToNanoseconds() / 1e9
        for each in history.operations.values()
        if each.goal == Operation.GOAL_DELETE and each.state == Operation.STATE_SUCCEEDED
    }
    for cluster_id, when in history.swept:
        if when > deleted.get(cluster_id, when):
            yield f"a server of cluster {cluster_id} was there after its delete had succeeded"


def _logged(history: History) -> Iterator[str]:
    """No process says that something happened which it does not understand."""
    yield from history.errors


def _of(entry: Entry) -> str:
    return f"{entry.task_key} of {entry.operation_id}"
