"""Turns: between projects, and between the operations of each."""

from __future__ import annotations

from collections import Counter

from savanna_scheduler.core import events
from tests.unit.scheduler.stage import Engine, Stage, step


def with_operations(**sizes: int) -> Stage:
    """Store operations of one project, each with so many tasks that wait for nothing."""
    stage = Stage()
    for name, size in sizes.items():
        add(stage, name, "p1", size)
    return stage


def add(stage: Stage, name: str, project: str, size: int) -> None:
    stage.database.create(name, project, *(step(f"{name}{n}") for n in range(size)))
    stage.claim()


def do(engine: Engine, count: int) -> list[str]:
    """Do what the engine was given, oldest first; gives the operations of what was done."""
    done = []
    for _ in range(count):
        key = next(iter(engine.running))
        done.append(engine.running[key].operation_id)
        engine.succeed(key)
    return done


def test_operations_of_a_project_take_turns() -> None:
    stage = with_operations(large=100, small=10)
    engine = stage.engine(slots={"ssh": 1})
    assert Counter(do(engine, 20)) == {"large": 10, "small": 10}
    assert set(do(engine, 10)) == {"large"}


def test_an_operation_that_comes_later_does_not_wait_for_those_before_it() -> None:
    stage = with_operations(large=100)
    engine = stage.engine(slots={"ssh": 1})
    do(engine, 50)
    add(stage, "small", "p1", 3)
    assert do(engine, 8).count("small") == 3


def test_who_comes_later_makes_up_for_no_turns_that_it_did_not_want() -> None:
    stage = with_operations(large=100)
    engine = stage.engine(slots={"ssh": 1})
    do(engine, 50)
    add(stage, "late", "p1", 100)
    assert abs(Counter(do(engine, 20))["late"] - 10) <= 1


def test_many_operations_of_a_project_get_no_more_than_one_of_another() -> None:
    stage = with_operations(**{f"of{n}x": 10 for n in range(9)})
    add(stage, "other", "p2", 50)
    engine = stage.engine(slots={"ssh": 1})
    assert abs(do(engine, 40).count("other") - 20) <= 1


def test_a_chain_of_steps_does_not_push_in_before_what_waits_longer() -> None:
    stage = with_operations(crowd=50)
    chain = [step("chain0"), *(step(f"chain{n}", f"chain{n - 1}") for n in range(1, 20))]
    stage.database.create("chain", "p1", *chain)
    stage.claim()
    engine = stage.engine(slots={"ssh": 1})
    assert abs(do(engine, 20).count("chain") - 10) <= 1


def test_priorities_count_inside_an_operation_alone() -> None:
    stage = Stage()
    urgent = [step(f"u{n}", priority=9) for n in range(20)]
    stage.database.create("urgent", "p1", *urgent)
    stage.database.create("calm", "p1", *(step(f"c{n}") for n in range(20)))
    stage.claim()
    engine = stage.engine(slots={"ssh": 1})
    assert abs(do(engine, 10).count("calm") - 5) <= 1


def test_what_is_cancelled_uses_up_no_turn() -> None:
    stage = with_operations(first=20, second=20)
    engine = stage.engine(slots={"ssh": 1})
    do(engine, 4)
    stage.database.request_cancel("first")
    stage.tell(events.CancelRequested("first"))
    engine.stop(next(iter(engine.running)))
    assert set(do(engine, 16)) == {"second"}
