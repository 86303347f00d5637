"""Engines that lose their work again and again are drained; those that had bad luck are not."""

from __future__ import annotations

import pytest

from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Engine, Stage, TaskSpec, step

MANY = tuple(step(f"t{n}") for n in range(30))


def submit(stage: Stage, name: str, *specs: TaskSpec) -> None:
    """Store an operation of another project, and have it claimed."""
    stage.database.renew_scheduler(stage.id)
    stage.database.create(name, "p2", *specs)
    stage.claim()


def crash(stage: Stage, engine: Engine, *others: Engine) -> Engine:
    """Lose an engine with what it holds, and start it again; the others live on."""
    engine.disconnect()
    stage.wait(7.0, *others)
    number = int(engine.session_id.partition("/")[2] or 1) + 1
    return stage.engine(f"{engine.engine_id}/{number}", {"ssh": 2}, of=engine.engine_id)


def bad_and_good(stage: Stage) -> tuple[Engine, Engine]:
    """Connect an engine that crashes three times, and one that does not."""
    good = stage.begin(*MANY, slots={"plan": 1, "ssh": 1})
    bad = stage.engine("bad", {"ssh": 2})
    for _ in range(3):
        bad = crash(stage, bad, good)
        next_one(good)
    return bad, good


def next_one(engine: Engine) -> str:
    """Do what the engine was given first."""
    key = next(iter(engine.running))
    engine.succeed(key)
    return key


def test_an_engine_that_loses_three_tasks_is_drained() -> None:
    stage = Stage()
    bad, good = bad_and_good(stage)
    assert bad.running == {}
    for _ in range(5):
        next_one(good)
    assert bad.running == {}


def test_a_drained_engine_is_told_why_and_what_to_do() -> None:
    bad, _ = bad_and_good(Stage())
    [told] = bad.distrusted
    assert "engine 'bad' is drained" in told.reason
    assert "3 times" in told.reason
    assert "restart it" in told.reason
    assert 500 < told.duration.seconds <= 600


def test_whom_a_scheduler_drains_and_why_is_told_with_its_lease() -> None:
    stage = Stage()
    bad_and_good(stage)
    [told] = stage.core.trust.drained(stage.now + 60)
    assert told.engine_id == "bad"
    assert told.reason.startswith("3 times in 600 s it was lost with work in its hands (")
    assert 440 < told.rest.seconds <= 540
    stage.wait(700.0)
    assert stage.core.trust.drained(stage.now) == []


def test_two_accidents_are_bad_luck() -> None:
    stage = Stage()
    good = stage.begin(*MANY, slots={"plan": 1, "ssh": 1})
    bad = stage.engine("bad", {"ssh": 2})
    for _ in range(2):
        bad = crash(stage, bad, good)
    assert len(bad.running) == 2
    assert not bad.distrusted


def test_one_accident_is_one_however_many_tasks_it_cost() -> None:
    stage = Stage()
    good = stage.begin(*MANY, slots={"plan": 1, "ssh": 1})
    engine = crash(stage, stage.engine("unlucky", {"ssh": 16}), good)
    assert len(engine.running) == 2


def test_an_engine_that_loses_nothing_may_come_and_go() -> None:
    stage = Stage()
    good = stage.engine("good")
    restless = stage.engine("restless", {"ssh": 2})
    for _ in range(5):
        restless = crash(stage, restless, good)
    good.disconnect()
    submit(stage, "op", *MANY)
    assert len(restless.running) == 2


def test_a_drained_engine_finishes_what_it_has() -> None:
    stage = Stage()
    good = stage.begin(*MANY, slots={"plan": 1, "ssh": 1})
    bad = stage.engine("bad", {"ssh": 2})
    for _ in range(2):
        bad = crash(stage, bad, good)
    # Its machine runs two of it: one is lost, the other goes on.
    twin = stage.engine("bad/twin", {"ssh": 2}, of="bad")
    bad.disconnect()
    stage.wait(7.0, good, twin)
    assert twin.distrusted
    assert len(twin.running) == 2
    next_one(twin)
    next_one(twin)
    assert twin.running == {}
    assert len(twin.acknowledged) == 2


def test_a_drained_engine_is_trusted_again_after_ten_minutes() -> None:
    stage = Stage()
    bad, good = bad_and_good(stage)
    stage.wait(600.0, bad, good)
    assert len(bad.running) == 2


def test_an_engine_that_is_restarted_in_order_begins_with_a_clean_record() -> None:
    stage = Stage()
    bad, good = bad_and_good(stage)
    stage.tell(events.Leaving(bad.session_id))
    bad.disconnect()
    again = stage.engine("bad/again", {"ssh": 2}, of="bad")
    assert len(again.running) == 2
    assert good.running


def test_a_drained_engine_is_better_than_none() -> None:
    stage = Stage()
    bad, good = bad_and_good(stage)
    good.disconnect()
    stage.wait(0.0, bad)
    assert len(bad.running) == 2


def test_a_drained_engine_does_what_no_other_can() -> None:
    stage = Stage()
    bad, _ = bad_and_good(stage)
    bad.slots["special"] = 1
    bad.hello()
    special = step("special")
    special.pool = "special"
    submit(stage, "other", special)
    assert list(bad.running) == ["special"]


def test_when_most_engines_lose_their_work_it_is_not_their_fault() -> None:
    stage = Stage()
    helper = stage.begin(*MANY, slots={"plan": 1})
    engines = [stage.engine(name, {"ssh": 2}) for name in ("e2", "e3")]
    for number in range(2, 5):
        for each in engines:
            each.disconnect()
        stage.wait(7.0, helper)
        engines = [
            stage.engine(f"{each.engine_id}/{number}", {"ssh": 2}, of=each.engine_id)
            for each in engines
        ]
    assert all(len(each.running) == 2 for each in engines)


def test_engines_are_not_blamed_for_a_task_that_kills_them() -> None:
    stage = Stage()
    helper = stage.begin(step("poison"), slots={"plan": 1})
    victim = stage.engine("victim", {"ssh": 1})
    others = [helper, stage.engine("other", {"plan": 1})]
    for _ in range(3):
        assert list(victim.running) == ["poison"]
        victim = crash(stage, victim, *others)
    assert stage.state("poison") == "FAILED"
    submit(stage, "more", *MANY)
    assert len(victim.running) == 2
    assert not victim.distrusted


@pytest.mark.parametrize("name", ["", "bad"])
def test_an_engine_that_was_only_heard_of_is_judged_by_its_name(name: str) -> None:
    stage = Stage()
    good = stage.begin(*MANY, slots={"plan": 1, "ssh": 1})
    stage.engine("bad", {"ssh": 2})
    stage.database.engine_ids["bad"] = name
    stage.database.release(stage.id)
    heir = good.stage = Stage(stage.database, scheduler_id="heir")
    heir.claim()
    good.hello()
    heir.wait(7.0, good)
    bad = heir.engine("bad/2", {"ssh": 2}, of="bad")
    for _ in range(2):
        bad = crash(heir, bad, good)
    assert bool(bad.distrusted) == bool(name)
