"""What the journal makes of the picture: no terminal, no clock."""

from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from savanna.operation.v1.operation_pb2 import Attempt, JournalEntry
from savanna_cli.progress import Happening, Mark, Progress

Entry = JournalEntry


class Teller:
    """Feeds entries, and keeps what they were worth."""

    def __init__(self) -> None:
        self.progress = Progress("demo")
        self.told: list[Happening] = []

    def __call__(self, at: float, kind: Entry.Kind.ValueType, **values: object) -> None:
        stamp = Timestamp()
        stamp.FromMicroseconds(int((1000 + at) * 1_000_000))
        entry = Entry(kind=kind, time=stamp, **values)  # type: ignore[arg-type]  # whatever the test says
        happening = self.progress.feed(entry)
        if happening is not None:
            self.told.append(happening)

    def task(self, at: float, kind: Entry.Kind.ValueType, key: str, **values: object) -> None:
        title, host = key.split("/")
        self(at, kind, task_id=key, title=title, instance=host, **values)


@pytest.fixture
def tell() -> Teller:
    teller = Teller()
    teller(0.0, Entry.KIND_OPERATION_CREATED, state="PENDING")
    return teller


OK, BAD = Attempt.OUTCOME_SUCCEEDED, Attempt.OUTCOME_FAILED
CREATED, ASSIGNED = Entry.KIND_TASK_CREATED, Entry.KIND_TASK_ASSIGNED
ENDED, RETRIED = Entry.KIND_TASK_ENDED, Entry.KIND_TASK_RETRIED


def test_a_step_counts_in_the_bar_of_its_title(tell: Teller) -> None:
    for host in ("a", "b"):
        tell.task(0.0, CREATED, f"boot/{host}")
    tell.task(1.0, ASSIGNED, "boot/a")
    [group] = tell.progress.groups(1003.0)
    assert (group.mark, group.done, group.total, group.seconds) == (Mark.RUNNING, 0, 2, 2.0)
    tell.task(3.0, ENDED, "boot/a", outcome=OK)
    tell.task(3.0, ASSIGNED, "boot/b")
    tell.task(4.5, ENDED, "boot/b", outcome=OK)
    [group] = tell.progress.groups(1099.0)
    assert (group.mark, group.done, group.total, group.seconds) == (Mark.DONE, 2, 2, 3.5)


def test_a_finished_step_is_worth_a_line_with_its_seconds(tell: Teller) -> None:
    tell.task(0.0, CREATED, "boot/a")
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(3.0, ENDED, "boot/a", outcome=OK)
    assert tell.told == [Happening(3.0, "a", "boot", Mark.DONE, 2.0)]


def test_a_failed_try_tells_why_and_that_it_is_tried_again(tell: Teller) -> None:
    tell.task(0.0, CREATED, "boot/a")
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(2.0, RETRIED, "boot/a", outcome=BAD, failure={"reason": "X", "message": "no"})
    [host] = tell.progress.hosts(1002.0)
    assert host.mark is Mark.WAITING
    tell.task(3.0, ASSIGNED, "boot/a")
    tell.task(4.0, ENDED, "boot/a", outcome=OK)
    assert [each.text for each in tell.told] == [
        "boot: failed, trying again (X: no)",
        "boot, try 2",
    ]
    # The seconds of a step are those since its first try.
    assert tell.told[-1].seconds == 3.0


def test_a_lost_engine_is_told_and_not_yet_is_not(tell: Teller) -> None:
    tell.task(0.0, CREATED, "boot/a")
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(2.0, RETRIED, "boot/a", outcome=Attempt.OUTCOME_NOT_YET)
    assert tell.told == []
    assert tell.progress.hosts(1002.0)[0].mark is Mark.RUNNING
    tell.task(3.0, RETRIED, "boot/a", outcome=Attempt.OUTCOME_LOST)
    assert [each.text for each in tell.told] == ["boot: its engine was lost, trying elsewhere"]


def test_a_death_of_the_whole_service_is_told_as_what_it_was(tell: Teller) -> None:
    tell.task(0.0, CREATED, "boot/a")
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(3.0, RETRIED, "boot/a", outcome=Attempt.OUTCOME_INTERRUPTED)
    assert [each.text for each in tell.told] == ["boot: Savanna ended meanwhile, trying again"]


def test_a_host_shows_the_step_that_it_is_at(tell: Teller) -> None:
    for title in ("boot", "start"):
        tell.task(0.0, CREATED, f"{title}/a")
    assert tell.progress.hosts(1000.0)[0].title == "boot"
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(2.0, ENDED, "boot/a", outcome=OK)
    [host] = tell.progress.hosts(1002.0)
    assert (host.title, host.mark) == ("start", Mark.WAITING)
    tell.task(3.0, ASSIGNED, "start/a")
    [host] = tell.progress.hosts(1005.0)
    assert (host.title, host.mark, host.seconds) == ("start", Mark.RUNNING, 2.0)


def test_planning_is_not_shown_unless_it_fails(tell: Teller) -> None:
    for kind, outcome in ((CREATED, None), (ASSIGNED, None), (ENDED, OK)):
        tell.task(0.0, kind, "Plan/", task_kind="plan", outcome=outcome)
    assert tell.progress.groups(1000.0) == []
    assert tell.told == []
    tell.task(1.0, ENDED, "Plan/", task_kind="plan", outcome=BAD)
    assert [(each.host, each.text) for each in tell.told] == [("demo", "Plan: failed")]


def test_nothing_goes_on_once_the_operation_has_ended(tell: Teller) -> None:
    for host in "abc":
        tell.task(0.0, CREATED, f"boot/{host}")
    tell.task(1.0, ASSIGNED, "boot/a")
    tell.task(1.0, ASSIGNED, "boot/b")
    tell.task(2.0, RETRIED, "boot/b", outcome=BAD, failure={"reason": "X"})
    tell(4.0, Entry.KIND_OPERATION_CHANGED, state="FAILED", failure={"reason": "X"})
    marks = [each.mark for each in tell.progress.hosts(1099.0)]
    assert marks == [Mark.SKIPPED, Mark.FAILED, Mark.SKIPPED]
    assert tell.progress.elapsed(1099.0) == 4.0
    assert tell.progress.failure is not None


def test_the_clock_of_the_screen_may_be_behind_that_of_the_journal(tell: Teller) -> None:
    tell.task(5.0, CREATED, "boot/a")
    assert tell.progress.elapsed(990.0) == 5.0


def test_a_state_of_the_cluster_is_told_once(tell: Teller) -> None:
    for at in (1.0, 2.0):
        tell(at, Entry.KIND_CLUSTER_CHANGED, state="Waiting")
    assert [each.text for each in tell.told] == ["is now Waiting"]


def test_a_held_operation_says_why(tell: Teller) -> None:
    tell(1.0, Entry.KIND_OPERATION_CHANGED, state="HELD", message="the launch goes first")
    assert [each.text for each in tell.told] == ["held: the launch goes first"]
