"""Plans: one at a time, asked again when nothing is left or something failed, and the end."""

from __future__ import annotations

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.stage import Stage, step

Operation = operation_pb2.Operation


def test_when_nothing_is_left_the_plan_is_asked_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    engine.succeed("a")
    assert "plan/2" not in engine.running
    engine.succeed("b")
    assert "plan/2" in engine.running


def test_an_operation_ends_as_its_plan_says_in_the_same_commit() -> None:
    stage = Stage(policy=Policy(commit_changes=1))
    engine = stage.begin(step("a"))
    engine.succeed("a")
    engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED, facts=b"final state")
    assert stage.outcome() == "SUCCEEDED"
    kinds = [each.WhichOneof("change") for each in stage.sent_commits[-1].changes]
    assert kinds == ["finish", "end_operation"]
    assert stage.core.operations == {}
    assert stage.core.tasks == {}


def test_a_plan_that_finds_nothing_to_do_and_no_end_is_told_to_the_user() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.succeed("a")
    engine.succeed("plan/2")
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "PLAN_STUCK"


def test_a_plan_that_did_not_know_the_news_is_asked_again_before_it_counts_as_stuck() -> None:
    stage = Stage()
    engine = stage.begin(step("bad"), step("runs"))
    engine.fail("bad")
    # Its facts are read here, while the other task still runs.
    engine.succeed("runs")
    engine.succeed("plan/2", unwanted=["runs"])
    assert "plan/3" in engine.running
    engine.succeed("plan/3")
    assert stage.outcome() == "FAILED"


def test_unwanting_the_last_open_tasks_leads_to_another_plan() -> None:
    stage = Stage()
    engine = stage.begin(step("bad"), step("waits"), slots={"plan": 1, "ssh": 1})
    engine.fail(next(iter(engine.running)))
    engine.not_yet(next(key for key in engine.running if key != "plan/2"), 60.0)
    engine.succeed("plan/2", unwanted=["waits", "bad"])
    assert "plan/3" in engine.running


def test_a_plan_that_asks_only_for_what_is_stored_already_is_stuck_too() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.succeed("a")
    engine.succeed("plan/2", spawn=[step("a")])
    assert stage.outcome() == "FAILED"


def test_plans_run_one_at_a_time_and_reasons_for_another_are_coalesced() -> None:
    stage = Stage()
    engine = stage.begin(*(step(f"t{n}") for n in range(6)))
    engine.fail("t0")
    assert "plan/2" in engine.running
    for number in range(1, 5):
        engine.fail(f"t{number}")
    assert [key for key in engine.running if key.startswith("plan")] == ["plan/2"]
    engine.succeed("plan/2", spawn=[step("more")])
    assert [key for key in engine.running if key.startswith("plan")] == ["plan/3"]
    stored = [each.spec.key for each in stage.database.tasks.values() if each.spec.is_plan]
    assert stored == ["plan/1", "plan/2", "plan/3"]


def test_a_plan_is_tried_again_like_any_task_and_its_failure_ends_the_operation() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    for _ in range(2):
        engine.fail("plan/1", retryable=True)
        stage.wait(3.0, engine)
    engine.fail("plan/1", retryable=True)
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "BROKEN"


def test_a_plan_may_say_not_yet() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.claim()
    engine.not_yet("plan/1", 1.0)
    stage.wait(1.1, engine)
    assert "plan/1" in engine.running


def test_unwanted_tasks_and_what_needs_them_are_skipped() -> None:
    stage = Stage()
    engine = stage.begin(
        step("bad"), step("runs"), step("waits", "runs"), step("later", "waits"), step("last", "x")
    )
    engine.fail("bad")
    engine.succeed("plan/2", unwanted=["waits", "runs", "unheard of"])
    assert stage.state("waits") == stage.state("later") == stage.state("last") == "SKIPPED"
    assert engine.stopped == ["runs"]
    engine.stop("runs")
    assert stage.state("runs") == "SKIPPED"
    assert "plan/3" in engine.running


def test_a_task_that_succeeds_although_unwanted_is_planned_for() -> None:
    stage = Stage()
    engine = stage.begin(step("bad"), step("runs"), step("other"))
    engine.fail("bad")
    engine.succeed("plan/2", unwanted=["runs"])
    engine.succeed("runs")
    assert stage.state("runs") == "SUCCEEDED"
    assert "plan/3" in engine.running


def test_an_operation_ends_only_when_nothing_of_it_runs_any_more() -> None:
    stage = Stage()
    engine = stage.begin(step("bad"), step("runs"), step("waits", "runs"))
    engine.fail("bad")
    plan = engine.running["plan/2"].attempt
    engine.succeed("plan/2", end=Operation.STATE_FAILED)
    assert stage.outcome() == "PENDING"
    assert engine.stopped == ["runs"]
    # The plan's result is not acknowledged yet, so that it comes again.
    conclusion = stream.Succeeded()
    conclusion.conclusion.state = Operation.STATE_FAILED
    engine.say(stream.Result(attempt=plan, succeeded=conclusion))
    assert (plan.task_id, plan.epoch) not in engine.acknowledged
    engine.stop("runs")
    assert stage.outcome() == "FAILED"
    assert (plan.task_id, plan.epoch) in engine.acknowledged
    assert [stage.state(key) for key in ("runs", "waits")] == ["SKIPPED", "SKIPPED"]


def test_a_concluding_plan_that_is_lost_is_made_again() -> None:
    stage = Stage()
    other = stage.engine("e2", slots={"ssh": 2})
    engine = stage.begin(step("bad"), step("runs"), slots={"plan": 1})
    other.fail("bad")
    engine.succeed("plan/2", end=Operation.STATE_FAILED)
    heir = stage.engine("e3", slots={"plan": 1})
    engine.disconnect()
    stage.wait(10.0, other, heir)
    assert stage.outcome() == "PENDING"
    assert "plan/2" in heir.running


def test_a_conclusion_is_not_recorded_while_its_plan_is_being_taken_back() -> None:
    stage = Stage()
    other = stage.engine("e2", slots={"ssh": 2})
    engine = stage.begin(step("bad"), step("runs"), slots={"plan": 1})
    other.fail("bad")
    engine.succeed("plan/2", end=Operation.STATE_FAILED)
    engine.disconnect()
    stage.wait(6.3, other)
    stage.holds_commits = True
    stage.wait(0.5, other)
    assert len(stage.commits) == 1
    other.stop("runs")
    stage.go_on()
    assert not stage.abandoned
    assert stage.database.task("plan/2").lost_attempts == 1


def test_what_a_plan_spawns_while_it_can_never_run_is_skipped() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    engine.fail("a")
    engine.succeed("plan/2", spawn=[step("c", "a"), step("d", "c"), step("e")])
    assert [stage.state(key) for key in "cd"] == ["SKIPPED", "SKIPPED"]
    assert "e" in engine.running


def test_a_plan_that_came_back_does_not_wait_behind_a_newer_one_that_waits_for_its_time() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    engine.fail("a")
    engine.fail("b")
    engine.not_yet("plan/2", 10.0)
    stage.wait(11.0, engine)
    engine.not_yet("plan/3", 100.0)
    assert "plan/2" in engine.running


def with_a_large_plan() -> Stage:
    """Begin an operation whose plan is too large to be looked at in one go."""
    stage = Stage(policy=Policy(spawn_part=2, looked_at=2))
    engine = stage.begin(*(step(f"t{n}") for n in range(8)))
    assert [each.spec.key for each in stage.database.tasks_of("op")] == ["plan/1"]
    assert engine.acknowledged == [("op:plan/1", 1)]
    return stage


def test_others_have_their_turn_while_a_large_plan_is_looked_at() -> None:
    stage = with_a_large_plan()
    stage.database.create("other", "p2")
    stage.claim()
    assert stage.state("plan/1", "other") == "ASSIGNED"
    assert len(stage.database.tasks_of("op")) == 1
    stage.wait(0.0)
    ticks = 0
    while len(stage.database.tasks_of("op")) < 9:
        stage.tell(events.Tick())
        ticks += 1
    assert ticks <= 8


def test_a_large_plan_that_is_wished_away_while_it_is_looked_at_stores_nothing() -> None:
    stage = with_a_large_plan()
    stage.database.request_cancel("op")
    stage.claim()
    stage.wait(1.0)
    assert [each.spec.key for each in stage.database.tasks_of("op")] == ["plan/1", "plan/2"]
    assert stage.state("plan/2") == "ASSIGNED"


def test_a_large_plan_of_an_operation_that_is_over_is_not_looked_at_any_more() -> None:
    stage = with_a_large_plan()
    engine = stage.engines["e1"]
    stage.database.request_cancel("op")
    stage.claim()
    engine.succeed("plan/2", end=Operation.STATE_CANCELLED)
    stage.wait(1.0)
    assert stage.outcome() == "CANCELLED"
    assert stage.core.operations == {}
