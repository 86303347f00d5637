"""The checker finds what is wrong in a history, and nothing in a right one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from savanna.operation.v1.operation_pb2 import Attempt as Told
from savanna.operation.v1.operation_pb2 import JournalEntry, Operation
from tests.chaos.checker import Fault, violations
from tests.chaos.history import (
    Attempt,
    History,
    Promise,
    Run,
    read_attempts,
    read_errors,
    read_swept,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Entry = JournalEntry


def attempt(epoch: int, begin: float, end: float | None, *, process: int = 1) -> Attempt:
    made = Attempt(
        task="t1",
        epoch=epoch,
        session=f"s{process}",
        engine=f"engine-{process}",
        process=process,
        begin=begin,
        end=end,
        operation="o1",
        key="configure/w1",
    )
    made.outcome = "" if end is None else "succeeded"
    return made


def entry(
    sequence: int,
    kind: Entry.Kind.ValueType,
    *,
    task: str = "t1",
    epoch: int = 0,
    outcome: Told.Outcome.ValueType = Told.OUTCOME_UNSPECIFIED,
) -> Entry:
    return Entry(
        sequence=sequence,
        kind=kind,
        operation_id="o1",
        task_id=task,
        task_key="configure/w1" if task else "",
        task_kind="run_script" if task else "",
        epoch=epoch,
        outcome=outcome,
    )


def right() -> History:
    """A launch with one task: its first engine died, its second did it."""
    return History(
        attempts=[attempt(1, 10.0, None), attempt(2, 16.5, 18.0, process=2)],
        deaths={1: 12.0},
        journal=[
            entry(1, Entry.KIND_OPERATION_CREATED, task=""),
            entry(2, Entry.KIND_TASK_CREATED),
            entry(3, Entry.KIND_TASK_ASSIGNED, epoch=1),
            entry(4, Entry.KIND_TASK_RETRIED, epoch=1, outcome=Told.OUTCOME_LOST),
            entry(5, Entry.KIND_TASK_ASSIGNED, epoch=2),
            entry(6, Entry.KIND_TASK_ENDED, epoch=2, outcome=Told.OUTCOME_SUCCEEDED),
            entry(7, Entry.KIND_OPERATION_CHANGED, task=""),
        ],
        runs=[
            Run("w1", "o1", "configure/w1", 1, 1, 2),
            Run("w1", "o1", "configure/w1", 2, 3, 4, succeeded=True),
        ],
        promises=[Promise("o1", "c1", "LAUNCH", frozenset({Operation.STATE_SUCCEEDED}))],
        operations={"o1": Operation(id="o1", cluster_name="c1", state=Operation.STATE_SUCCEEDED)},
    )


def test_nothing_is_found_in_a_right_history() -> None:
    assert violations(right()) == []


def _begun_too_soon(history: History) -> None:
    history.deaths = {1: 17.0}


def _begun_twice(history: History) -> None:
    history.attempts[1].epoch = 1


def _not_stopped_in_time(history: History) -> None:
    history.deaths = {}
    history.attempts[0].stop = 15.0
    history.attempts[0].end = 16.8


def _goes_on_after_it_woke(history: History) -> None:
    history.deaths = {}
    history.freezes = {1: [(11.0, 20.0)]}
    history.attempts[0].end = 30.0


def _commands_at_once(history: History) -> None:
    history.runs[0] = replace(history.runs[0], end=3.5)


def _older_command_later(history: History) -> None:
    history.runs[1] = replace(history.runs[1], epoch=1)


def _command_without_end(history: History) -> None:
    history.runs[0] = replace(history.runs[0], end=None)


def _job_started_twice(history: History) -> None:
    history.runs = [replace(each, key="run") for each in history.runs]


def _recorded_and_never_done(history: History) -> None:
    history.attempts.pop()


def _recorded_and_failed(history: History) -> None:
    history.attempts[-1].outcome = "failed"


def _recorded_and_unknown_to_the_host(history: History) -> None:
    history.runs[1] = replace(history.runs[1], succeeded=False)


def _task_left_open(history: History) -> None:
    history.journal = [each for each in history.journal if each.kind != Entry.KIND_TASK_ENDED]
    for number, each in enumerate(history.journal, 1):
        each.sequence = number


def _hole_in_the_journal(history: History) -> None:
    del history.journal[3]


def _followed_something_else(history: History) -> None:
    history.followed = [history.journal[0], history.journal[2]]


def _handed_out_after_its_end(history: History) -> None:
    history.journal.append(entry(8, Entry.KIND_TASK_ASSIGNED, epoch=3))


def _epoch_handed_out_again(history: History) -> None:
    history.journal[4].epoch = 1


def _acknowledged_and_unknown(history: History) -> None:
    history.promises.append(replace(history.promises[0], operation="o2"))


def _never_ends(history: History) -> None:
    history.operations["o1"].state = Operation.STATE_RUNNING


def _ends_wrongly(history: History) -> None:
    history.operations["o1"].state = Operation.STATE_FAILED


def _given_up_after_one_loss(history: History) -> None:
    operation = history.operations["o1"]
    operation.state = Operation.STATE_FAILED
    operation.failure.reason = "QUARANTINED"


def _given_up_again_and_again(history: History) -> None:
    for number in range(3):
        _give_up(history, f"o{number + 1}")


def _give_up(history: History, name: str) -> None:
    """Have an operation end as it should when three engines died of one task."""
    failed = Operation(id=name, cluster_name="c1", state=Operation.STATE_FAILED)
    failed.failure.reason = "QUARANTINED"
    history.operations[name] = failed
    last = history.journal[-1].sequence
    for number in range(1, 4):
        lost = entry(
            last + number,
            Entry.KIND_TASK_RETRIED,
            task=f"t of {name}",
            epoch=number,
            outcome=Told.OUTCOME_LOST,
        )
        lost.operation_id = name
        history.journal.append(lost)


def _leaves_a_server(history: History) -> None:
    history.left = ["c1-worker-1"]


def _sweeps_what_a_delete_left(history: History) -> None:
    deleted = Operation(id="o2", cluster_id="c", goal=Operation.GOAL_DELETE)
    deleted.state = Operation.STATE_SUCCEEDED
    deleted.end_time.FromSeconds(100)
    history.operations["o2"] = deleted
    line = '{"cluster_id": "c", "event": "orphan_cleaned", "timestamp": "1970-01-01T00:01:4%d.5Z"}'
    history.swept = read_swept([line % 1])
    assert history.swept == [("c", 101.5)]


def _a_user_complains(history: History) -> None:
    history.complaints = ["LOST job j1 wrote nothing"]


def _a_process_broke(history: History) -> None:
    log = [
        '{"event": "lease_lost", "level": "warning"}',
        '{"event": "core_broke", "level": "error"}',
    ]
    history.errors = read_errors(log)
    assert len(history.errors) == 1


WRONG: dict[Callable[[History], None], Fault] = {
    _begun_too_soon: Fault.TWO_OWNERS,
    _begun_twice: Fault.TWO_OWNERS,
    _not_stopped_in_time: Fault.TWO_OWNERS,
    _goes_on_after_it_woke: Fault.TWO_OWNERS,
    _commands_at_once: Fault.TWO_OWNERS,
    _older_command_later: Fault.TWO_OWNERS,
    _command_without_end: Fault.TWO_OWNERS,
    _job_started_twice: Fault.TWO_OWNERS,
    _recorded_and_never_done: Fault.LOST,
    _recorded_and_failed: Fault.LOST,
    _recorded_and_unknown_to_the_host: Fault.LOST,
    _task_left_open: Fault.LOST,
    _hole_in_the_journal: Fault.JOURNAL,
    _followed_something_else: Fault.JOURNAL,
    _handed_out_after_its_end: Fault.JOURNAL,
    _epoch_handed_out_again: Fault.JOURNAL,
    _acknowledged_and_unknown: Fault.REQUEST,
    _never_ends: Fault.END,
    _ends_wrongly: Fault.END,
    _given_up_after_one_loss: Fault.END,
    _given_up_again_and_again: Fault.END,
    _leaves_a_server: Fault.ORPHAN,
    _sweeps_what_a_delete_left: Fault.ORPHAN,
    _a_user_complains: Fault.LOST,
    _a_process_broke: Fault.LOGGED,
}


@pytest.mark.parametrize("harm", WRONG, ids=lambda harm: harm.__name__.strip("_"))
def test_what_is_wrong_is_found(harm: Callable[[History], None]) -> None:
    history = right()
    harm(history)
    assert WRONG[harm] in {each.fault for each in violations(history)}


def test_an_operation_may_be_given_up_when_three_engines_died_of_one_task() -> None:
    history = right()
    _give_up(history, "o2")
    assert violations(history) == []


def test_an_attempt_that_was_frozen_may_stop_when_it_wakes() -> None:
    history = right()
    history.deaths = {}
    history.freezes = {1: [(11.0, 20.0)]}
    history.attempts[0].stop = 20.1
    history.attempts[0].end = 20.3
    assert violations(history) == []


def test_an_attempt_that_is_told_to_stop_has_the_rest_of_its_lease() -> None:
    history = right()
    history.deaths = {}
    history.attempts[0].stop = 14.6
    history.attempts[0].end = 17.0
    assert violations(history) == []


def test_what_engines_told_is_read_up_to_the_moment_of_their_death() -> None:
    name = {"engine": "e", "process": 7, "session": "s", "task": "t", "epoch": 1}
    told_by_engine = [
        {"what": "begin", "time": 1.0, "operation": "o", "key": "k", **name},
        {"what": "stop", "time": 2.0, **name},
        {"what": "end", "time": 3.0, "outcome": "cancelled", **name},
    ]
    lines = [json.dumps(each) for each in told_by_engine]
    lines.append(lines[0][:20])
    [told] = read_attempts(lines)
    assert (told.begin, told.stop, told.end, told.outcome) == (1.0, 2.0, 3.0, "cancelled")
