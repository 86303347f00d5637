"""Lost, silent and returning engines."""

from __future__ import annotations

from savanna.operation.v1 import operation_pb2
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.stage import Stage, step

Attempt = operation_pb2.Attempt


def test_a_lost_engine_gives_its_tasks_back_after_its_lease_and_not_before() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b"))
    other = stage.engine("e2")
    engine.disconnect()
    stage.wait(5.9, other)
    assert other.running == {}
    stage.wait(0.7, other)
    assert set(other.running) == {"a", "b"}
    assert other.running["a"].attempt.epoch == 2
    assert stage.database.task("a").lost_attempts == 1
    assert stage.database.task("a").failed_attempts == 0


def test_an_engine_that_is_connected_but_silent_loses_its_tasks_too() -> None:
    stage = Stage()
    stage.begin(step("a"))
    other = stage.engine("e2")
    stage.wait(7.0, other)
    assert "a" in other.running


def test_an_engine_that_is_silent_here_but_lives_elsewhere_keeps_its_tasks() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    other = stage.engine("e2")
    engine.disconnect()
    stage.wait(60.0, engine, other)
    assert other.running == {}
    engine.hello()
    engine.succeed("a")
    assert stage.state("a") == "SUCCEEDED"


def test_asking_whether_a_silent_engine_lives_costs_one_change_however_much_it_holds() -> None:
    stage = Stage()
    engine = stage.begin(*(step(f"t{n}") for n in range(8)))
    engine.disconnect()
    before = len(stage.sent_commits)
    stage.wait(12.0, engine)
    asked = stage.sent_commits[before:]
    assert 5 <= len(asked) <= 15
    assert all(len(each.changes) == 1 for each in asked)


def test_an_engine_that_comes_back_in_time_keeps_what_it_does() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    other = stage.engine("e2")
    engine.disconnect()
    stage.wait(3.0, other)
    engine.hello()
    stage.wait(20.0, engine, other)
    assert [each.key for each in engine.runs].count("a") == 1
    engine.succeed("a")
    assert stage.state("a") == "SUCCEEDED"


def test_an_offer_that_was_lost_on_the_way_is_made_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.disconnect()
    engine.running.clear()
    engine.hello()
    assert [each.key for each in engine.runs].count("a") == 2
    assert engine.running["a"].attempt.epoch == 1


def test_a_hand_out_recorded_after_the_stream_broke_is_said_at_the_next_hello() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.holds_commits = True
    engine.succeed("a")
    engine.disconnect()
    stage.go_on()
    assert "b" not in engine.running
    engine.hello()
    assert "b" in engine.running


def test_a_hand_out_recorded_after_the_session_ended_is_taken_back() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.holds_commits = True
    engine.succeed("a")
    stage.store()
    stage.database.sessions[engine.session_id] = stage.now - 1
    stage.tell(events.SessionEnded(engine.session_id))
    stage.go_on()
    assert "b" in stage.engine("e2").running


def test_a_hand_out_to_a_session_that_is_over_goes_elsewhere() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"), step("c"))
    stage.holds_commits = True
    engine.succeed("a")
    stage.database.sessions[engine.session_id] = stage.now - 1
    stage.go_on()
    other = stage.engine("e2")
    assert set(other.running) == {"b", "c"}
    assert stage.database.task("b").lost_attempts == 0


def test_a_result_that_arrives_while_its_task_is_taken_back_decides_nothing_twice() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    stage.engine("e2")
    engine.disconnect()
    stage.wait(5.5)
    stage.database.renew_session(engine.session_id)
    stage.holds_commits = True
    stage.wait(1.0)
    engine.hello()
    assert len(stage.commits) == 1
    engine.succeed("a")
    stage.go_on()
    assert not stage.abandoned
    assert stage.state("a") == "ASSIGNED"


def test_a_task_that_costs_three_engines_is_given_up_with_evidence() -> None:
    stage = Stage(policy=Policy())
    engine = stage.begin(step("poison"), step("next", "poison"))
    helper = stage.engine("helper", slots={"plan": 1})
    for number in range(2, 5):
        engine.disconnect()
        engine = stage.engine(f"e{number}", slots={"ssh": 1})
        stage.wait(7.0, engine, helper)
    task = stage.database.task("poison")
    assert stage.state("poison") == "FAILED"
    assert task.failure.reason == "QUARANTINED"
    assert "3 engines were lost" in task.failure.message
    assert task.lost_attempts == 3
    assert stage.state("next") == "SKIPPED"
    assert "plan/2" in helper.running
    assert stage.database.ends["op:poison", 3] == [Attempt.OUTCOME_LOST]


def test_dead_engines_are_forgotten() -> None:
    stage = Stage()
    for number in range(20):
        stage.engine(f"e{number}").disconnect()
    stage.wait(8.0)
    assert all(stage.core.sessions.get(f"e{number}") is None for number in range(20))
    assert stage.core.next_timer() is None


def test_attempts_of_the_past_are_dropped_at_hello_and_newer_ones_are_not() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.refuse("a", "STALE_OFFER")
    stage.wait(0.2, engine)
    lease = stage.database.lease
    stage.tell(events.Hello("e1", engine.slots, {"op:a": 1, "of another": 7}, lease))
    assert [(each.task_id, each.epoch) for each in engine.welcome.drop] == [("op:a", 1)]
    stage.tell(events.Hello("e1", engine.slots, {"op:a": 9}, lease))
    assert list(engine.welcome.drop) == []


def test_the_welcome_says_when_to_beat_and_when_to_stop() -> None:
    engine = Stage().engine()
    assert engine.welcome.beat_interval.ToMilliseconds() == 1000
    assert engine.welcome.self_fence.ToMilliseconds() == 4000


def test_a_task_that_savanna_died_with_is_done_again_and_again_but_not_for_ever() -> None:
    stage = Stage(policy=Policy())
    engine = stage.begin(step("a"), step("next", "a"))
    for number in range(1, 11):
        # All in one process, started anew after its death: its tasks were put back.
        stage.database.release(f"s{number}")
        task = stage.database.task("a")
        task.state, task.interruptions = operation_pb2.Task.STATE_PENDING, number
        stage = Stage(policy=Policy(), database=stage.database, scheduler_id=f"s{number + 1}")
        engine = stage.engine(f"e{number + 1}")
        stage.claim()
        assert ("a" in engine.running) == (number < 10)
        [plan] = [key for key in engine.running if key.startswith("plan/")]
        if number < 10:
            engine.succeed(plan)
    assert stage.state("a") == "FAILED"
    assert stage.database.task("a").failure.reason == "QUARANTINED"
    assert "Savanna itself died 10 times" in stage.database.task("a").failure.message
    assert stage.state("next") == "SKIPPED"
    assert stage.state(plan) == "ASSIGNED"


def test_a_plan_that_savanna_dies_of_ends_its_operation() -> None:
    stage = Stage(policy=Policy())
    stage.database.create("op")
    stage.database.task("plan/1").interruptions = 10
    stage.engine()
    stage.claim()
    assert stage.outcome() == "FAILED"
    assert stage.database.operations["op"].message.failure.reason == "QUARANTINED"


def test_a_plan_and_a_step_may_both_be_what_savanna_dies_of() -> None:
    stage = Stage(policy=Policy())
    plan = operation_pb2.TaskSpec(key="plan/1", kind="plan", pool="plan", is_plan=True)
    stage.database.create("op", "p1", plan, step("a"))
    for key in ("plan/1", "a"):
        stage.database.task(key).interruptions = 10
    stage.engine()
    stage.claim()
    assert not stage.abandoned
    assert stage.outcome() == "FAILED"
