"""Handing out: after the commit, in order, fairly, and never more than engines take."""

from __future__ import annotations

from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.stage import Stage, step


def test_a_task_is_handed_out_only_after_its_assignment_is_committed() -> None:
    stage = Stage()
    engine = stage.engine()
    stage.database.create("op")
    stage.holds_commits = True
    stage.claim()
    assert engine.runs == []
    stage.go_on()
    assert [each.key for each in engine.runs] == ["plan/1"]


def test_a_result_is_acknowledged_only_after_it_is_committed() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    stage.holds_commits = True
    engine.succeed("a")
    attempt = ("op:a", 1)
    assert attempt not in engine.acknowledged
    stage.go_on()
    assert attempt in engine.acknowledged


def test_a_task_waits_for_what_it_needs() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"), step("c", "a", "b"))
    assert list(engine.running) == ["a"]
    engine.succeed("a")
    assert list(engine.running) == ["b"]
    engine.succeed("b")
    assert list(engine.running) == ["c"]


def test_the_end_of_a_task_and_the_hand_out_of_its_successor_share_a_commit() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    before = len(stage.sent_commits)
    engine.succeed("a")
    kinds = [each.WhichOneof("change") for each in stage.sent_commits[before].changes]
    assert kinds == ["finish", "assign"]


def test_an_engine_never_gets_more_than_it_takes() -> None:
    stage = Stage()
    engine = stage.begin(*(step(f"t{n}") for n in range(10)), slots={"plan": 1, "ssh": 3})
    assert len(engine.running) == 3
    stage.tell(events.Credit(engine.session_id, {"ssh": 5}))
    assert len(engine.running) == 5
    stage.tell(events.Credit(engine.session_id, {"ssh": 1}))
    for key in list(engine.running)[:4]:
        engine.succeed(key)
    assert len(engine.running) == 1


def test_credit_holds_over_a_reconnect_while_hand_outs_are_being_recorded() -> None:
    stage = Stage()
    engine = stage.begin(step("first"), slots={"plan": 1, "ssh": 2})
    stage.holds_commits = True
    engine.succeed("first")
    stage.go_on()
    engine.succeed("plan/2", spawn=[step("a"), step("b"), step("c")])
    assert len(engine.running) == 2
    stage.holds_commits = True
    engine.succeed(next(iter(engine.running)))
    engine.hello()
    stage.go_on()
    assert len(engine.running) == 2


def test_work_spreads_over_engines() -> None:
    stage = Stage()
    others = [stage.engine(name, {"ssh": 8}) for name in ("e2", "e3")]
    first = stage.begin(*(step(f"t{n}") for n in range(6)))
    assert [len(each.running) for each in (first, *others)] == [2, 2, 2]


def test_higher_priorities_come_first() -> None:
    stage = Stage()
    engine = stage.begin(
        step("low"), step("high", priority=5), step("mid", priority=1), slots={"plan": 1, "ssh": 1}
    )
    order = []
    for _ in range(3):
        order += list(engine.running)
        engine.succeed(order[-1])
    assert order == ["high", "mid", "low"]


def test_a_small_project_does_not_wait_behind_a_large_one() -> None:
    stage = Stage()
    stage.database.create("big", "p1", *(step(f"big{n}") for n in range(100)))
    stage.claim()
    engine = stage.engine(slots={"ssh": 1})
    for _ in range(5):
        engine.succeed(next(iter(engine.running)))
    stage.database.create("small", "p2", step("small"))
    stage.claim()
    for _ in range(2):
        engine.succeed(next(iter(engine.running)))
    assert "small" in [each.key for each in engine.runs]


def test_tasks_of_a_pool_that_no_engine_serves_hold_up_nobody() -> None:
    stage = Stage()
    stage.database.create("op", "p1", step("a"), step("b"))
    stage.database.create("other", "p1", step("elsewhere"))
    stage.database.task("elsewhere", "other").spec.pool = "cloud"
    stage.claim()
    assert len(stage.engine().running) == 2


def test_an_engine_that_does_not_know_a_kind_is_not_asked_again() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.refuse("a", "UNKNOWN_KIND")
    stage.wait(3.0, engine)
    assert [each.key for each in engine.runs].count("a") == 1
    newer = stage.engine("e2")
    stage.wait(2.0, engine, newer)
    assert "a" in newer.running


def test_a_refused_offer_is_made_again_but_not_at_once() -> None:
    stage = Stage()
    engine = stage.begin(step("a"))
    engine.refuse("a", "STALE_OFFER")
    assert engine.running == {}
    stage.wait(0.2, engine)
    assert "a" in engine.running
    assert stage.database.task("a").failed_attempts == 0


def test_an_engine_that_leaves_gets_nothing_more() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), step("b", "a"))
    stage.tell(events.Leaving(engine.session_id))
    engine.succeed("a")
    assert engine.running == {}
    assert "b" in stage.engine("e2").running


def test_many_changes_go_into_several_commits() -> None:
    stage = Stage(policy=Policy(commit_changes=10))
    stage.begin(*(step(f"t{n}") for n in range(25)), slots={"plan": 1, "ssh": 25})
    assert max(len(each.changes) for each in stage.sent_commits) == 10
    assert sum(task.state == task.STATE_ASSIGNED for task in stage.database.tasks.values()) == 25


def test_large_changes_do_not_share_a_commit() -> None:
    stage = Stage(policy=Policy(commit_bytes=1000))
    engine = stage.begin(step("a"), step("b"), step("c"))
    stage.holds_commits = True
    for key in ("a", "b", "c"):
        engine.succeed(key, facts=bytes(1000))
    stage.go_on()
    assert all(len(each.changes) <= 2 for each in stage.sent_commits[-3:])


def test_an_able_engine_that_was_only_full_is_used_as_soon_as_it_has_room() -> None:
    stage = Stage()
    able = stage.begin(step("busy"), step("rare"), slots={"plan": 1, "ssh": 1})
    unable = stage.engine("e2", {"ssh": 1})
    unable.refuse("rare", "UNKNOWN_KIND")
    stage.wait(0.2, able, unable)
    able.succeed("busy")
    assert "rare" in able.running


def test_a_task_of_a_pool_that_no_engine_serves_is_given_up_after_a_while() -> None:
    stage = Stage()
    lost = step("a")
    lost.pool = "gpu"
    engine = stage.begin(lost)
    stage.wait(299.0, engine)
    assert stage.state("a") == "PENDING"
    stage.wait(2.0, engine)
    assert stage.database.task("a").failure.reason == "UNKNOWN_POOL"
    assert "no engine offers the pool 'gpu'" in stage.database.task("a").failure.message


def test_nothing_is_given_up_while_no_engine_is_there_at_all() -> None:
    stage = Stage()
    engine = stage.begin(step("a"), slots={"plan": 1})
    engine.disconnect()
    stage.wait(400.0)
    assert stage.state("a") == "PENDING"
