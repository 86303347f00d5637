"""What is scarce: tasks share it, within limits, in their turns."""

from __future__ import annotations

from collections import Counter

from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Engine, Stage, TaskSpec, step

SLOTS = {"plan": 1, "ssh": 50}


def on(host: str, key: str, limit: int = 2) -> TaskSpec:
    return step(key, limits={host: limit})


def test_a_host_is_given_no_more_steps_at_once_than_it_bears() -> None:
    stage = Stage()
    engine = stage.begin(*(on("host/a", f"t{n}") for n in range(6)), slots=SLOTS)
    for left in (6, 5, 4, 3, 2, 1):
        assert len(engine.running) == min(2, left)
        engine.succeed(next(iter(engine.running)))
    assert "plan/2" in engine.running


def test_a_limit_holds_over_all_engines_and_operations() -> None:
    stage = Stage()
    for name in ("a", "b"):
        stage.database.create(name, name, *(on("cloud/x", f"{name}{n}", 3) for n in range(5)))
    stage.claim()
    engines = [stage.engine("e1", SLOTS), stage.engine("e2", SLOTS)]
    assert sum(len(each.running) for each in engines) == 3


def test_what_waits_for_one_host_holds_up_no_other() -> None:
    stage = Stage()
    waiting = [on("host/a", f"a{n}", 1) for n in range(20)]
    engine = stage.begin(*waiting, on("host/b", "b"), step("anywhere"), slots=SLOTS)
    assert set(engine.running) == {"a0", "b", "anywhere"}


def test_a_task_that_waits_for_its_time_holds_nothing() -> None:
    stage = Stage()
    engine = stage.begin(on("host/a", "first", 1), on("host/a", "second", 1), slots=SLOTS)
    engine.not_yet("first", 5.0)
    assert list(engine.running) == ["second"]


def test_projects_take_turns_at_what_is_scarce() -> None:
    stage = Stage()
    stage.database.create("large", "p1", *(on("cloud/x", f"l{n}", 1) for n in range(50)))
    stage.claim()
    engine = stage.engine(slots=SLOTS)
    stage.database.create("small", "p2", *(on("cloud/x", f"s{n}", 1) for n in range(3)))
    stage.claim()
    assert Counter(done(engine, 8))["small"] == 3


def done(engine: Engine, count: int) -> list[str]:
    operations = []
    for _ in range(count):
        key = next(iter(engine.running))
        operations.append(engine.running[key].operation_id)
        engine.succeed(key)
    return operations


def test_several_keys_are_all_needed() -> None:
    stage = Stage()
    both = step("both", limits={"host/a": 1, "host/b": 1})
    engine = stage.begin(on("host/a", "a", 1), on("host/b", "b", 1), both, slots=SLOTS)
    engine.succeed("a")
    assert list(engine.running) == ["b"]
    engine.succeed("b")
    assert list(engine.running) == ["both"]


def test_what_a_lost_engine_held_is_free_again() -> None:
    stage = Stage()
    engine = stage.begin(on("host/a", "first", 1), on("host/a", "second", 1), slots=SLOTS)
    other = stage.engine("e2", SLOTS)
    engine.disconnect()
    stage.wait(7.0, other)
    other.succeed("first" if "first" in other.running else "second")
    assert len([each for each in other.running if not each.startswith("plan")]) == 1


def test_whoever_takes_over_counts_what_is_under_way() -> None:
    stage = Stage()
    engine = stage.begin(*(on("host/a", f"t{n}") for n in range(3)), slots=SLOTS)
    stage.database.release(stage.id)
    heir = Stage(stage.database, scheduler_id="heir")
    engine.stage = heir
    heir.claim()
    engine.hello()
    assert len([each for each in engine.running if each.startswith("t")]) == 2
    engine.succeed("t0")
    assert "t2" in engine.running


def test_those_that_are_cancelled_while_they_wait_make_room_for_others() -> None:
    stage = Stage()
    for name in ("a", "b"):
        stage.database.create(name, "p1", *(on("cloud/x", f"{name}{n}", 1) for n in range(5)))
    stage.claim()
    engine = stage.engine(slots=SLOTS)
    first = engine.running[next(iter(engine.running))]
    stage.database.request_cancel(first.operation_id)
    stage.tell(events.CancelRequested(first.operation_id))
    engine.stop(first.key)
    assert [each.operation_id for each in engine.running.values()] != [first.operation_id]
    assert len(engine.running) == 1


def test_schedulers_share_a_limit_and_each_has_a_part() -> None:
    stage = Stage()
    stage.tell(events.Peers(3))
    specs = [on("cloud/x", f"c{n}", 9) for n in range(9)] + [on("host/a", f"h{n}", 2) for n in "12"]
    engine = stage.begin(*specs, slots=SLOTS)
    assert Counter(key[0] for key in engine.running) == {"c": 3, "h": 1}
    stage.tell(events.Peers(1))
    assert Counter(key[0] for key in engine.running) == {"c": 9, "h": 2}


def test_a_limit_of_nothing_counts_as_one() -> None:
    engine = Stage().begin(on("host/a", "a", 0), slots=SLOTS)
    assert list(engine.running) == ["a"]
