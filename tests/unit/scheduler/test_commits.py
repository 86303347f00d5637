"""Commits: one at a time, retried by number, and what happens when memory is wrong."""

from __future__ import annotations

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Stage, step

Verdict = execution.Verdict


def test_one_commit_is_under_way_at_a_time() -> None:
    stage = Stage()
    engine = stage.begin(*(step(f"t{n}") for n in range(8)))
    stage.holds_commits = True
    for number in range(8):
        engine.succeed(f"t{number}")
    assert len(stage.commits) == 1
    stage.go_on()
    numbers = [each.number for each in stage.sent_commits]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_commit_whose_fate_is_unknown_is_sent_again_as_it_was() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.holds_commits = True
    engine.succeed("a")
    stage.store()  # And the answer is lost.
    lost = stage.commits.popleft()
    stage.tell(events.CommitUnknown(lost.number))
    again = stage.commits[0]
    assert (again.number, list(again.changes)) == (lost.number, list(lost.changes))
    assert ("op:a", 1) not in engine.acknowledged
    stage.go_on()
    assert "b" in engine.running
    assert stage.database.ends["op:a", 1] == [1]


def test_the_next_commit_leaves_before_the_verdicts_of_the_last_are_looked_at() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"), step("c", "b"))
    stage.holds_commits = True
    engine.succeed("a")
    engine.succeed("b")
    answer = stage.store()
    first = stage.commits.popleft()
    stage.tell(events.Stored(first.number))
    second = stage.commits[0]
    assert second.number == first.number + 1
    assert "c" not in engine.running
    assert ("op:a", 1) not in engine.acknowledged
    stage.tell(events.Committed(first.number, list(answer.verdicts)))
    assert ("op:a", 1) in engine.acknowledged
    assert list(stage.commits) == [second]
    stage.go_on()
    assert ("op:b", 1) in engine.acknowledged
    assert "c" in engine.running


def test_a_commit_that_is_not_answered_for_keeps_the_third_back() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"), step("c"))
    stage.holds_commits = True
    engine.succeed("a")
    engine.succeed("b")
    stage.store()
    first = stage.commits.popleft()
    stage.tell(events.Stored(first.number))
    engine.succeed("c")
    stage.tell(events.Stored(first.number + 1))
    assert [each.number for each in stage.commits] == [first.number + 1]


def test_answers_to_other_commits_are_ignored() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    stage.holds_commits = True
    engine.succeed("a")
    stage.tell(events.CommitUnknown(1))
    stage.tell(events.Committed(1, []))
    assert len(stage.commits) == 1


def test_a_refused_change_makes_the_core_forget_everything_and_say_nothing_more() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    engine.acknowledged.clear()
    stage.holds_commits = True
    engine.succeed("a")
    number = stage.commits.popleft().number
    stage.tell(events.Committed(number, [Verdict(code=Verdict.CODE_NOT_OWNED)]))
    assert "NOT_OWNED" in stage.abandoned
    assert engine.acknowledged == []
    engine.succeed("b")
    assert stage.commits == stage.commits.__class__()


def test_a_lost_lease_makes_the_core_forget_everything() -> None:
    stage = Stage()
    stage.begin(step("a"))
    stage.tell(events.LeaseLost())
    assert "lease" in stage.abandoned
