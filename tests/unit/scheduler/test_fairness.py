"""Turns: between projects, and between the operations of each."""

from __future__ import annotations

from collections import Counter

from savanna.operation.v1.operation_pb2 import Task
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from tests.unit.scheduler.stage import Engine, Stage, step

SUCCEEDED = Task.STATE_SUCCEEDED


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


def commits_until_b_is_recorded(stage: Stage, engine: Engine) -> int:
    """Let everything that an engine has end, the task of operation "b" last."""
    stage.holds_commits = True
    for key in sorted(engine.running):
        engine.succeed(key)
    commits = 0
    while stage.database.task("b0", "b").state != SUCCEEDED:
        commits += 1
        stage.record()
    stage.go_on()
    return commits


def test_the_end_of_a_small_projects_task_is_recorded_before_those_of_a_large_one() -> None:
    stage = Stage(policy=Policy(shared_commit_changes=4))
    add(stage, "a", "p1", 60)
    add(stage, "b", "p2", 1)
    engine = stage.engine(slots={"ssh": 64})
    assert len(engine.running) == 61
    # The one that was under way, and its own.
    assert commits_until_b_is_recorded(stage, engine) == 2
    assert len(stage.sent_commits[-1].changes) <= 5


def test_a_project_alone_has_large_commits() -> None:
    stage = Stage(policy=Policy(shared_commit_changes=4))
    add(stage, "b", "p1", 60)
    engine = stage.engine(slots={"ssh": 64})
    stage.wait(2.0, engine)
    stage.holds_commits = True
    for key in list(engine.running):
        engine.succeed(key)
    stage.record()
    assert len(stage.commits[0].changes) == 59
    stage.go_on()


def test_a_project_that_did_nothing_for_a_while_makes_no_commit_small() -> None:
    stage = Stage(policy=Policy(shared_commit_changes=4))
    add(stage, "idle", "p2", 1)
    add(stage, "b", "p1", 60)
    engine = stage.engine(slots={"ssh": 64})
    stage.wait(2.0, engine)
    stage.holds_commits = True
    for key in [each for each in engine.running if each != "idle0"]:
        engine.succeed(key)
    stage.record()
    assert len(stage.commits[0].changes) == 59
    stage.go_on()


def test_a_large_plan_is_stored_in_smaller_parts_beside_others() -> None:
    for busy, sizes in ((False, [6]), (True, [2, 2, 2])):
        stage = Stage(policy=Policy(shared_spawn_part=2))
        engine = stage.engine()
        if busy:
            add(stage, "other", "p2", 1)
        stage.database.create("op")
        stage.claim()
        engine.succeed("plan/1", spawn=[step(f"t{n}") for n in range(6)])
        commits = [each.changes for each in stage.sent_commits]
        parts = [
            len(each.spawn.tasks) for changes in commits for each in changes if each.spawn.tasks
        ]
        assert parts == sizes


def test_parts_get_smaller_when_somebody_else_comes() -> None:
    stage = Stage(policy=Policy(spawn_part=8, shared_spawn_part=2))
    engine = stage.engine(slots={"plan": 1, "ssh": 64})
    stage.database.create("large", "p1")
    stage.claim()
    stage.holds_commits = True
    engine.succeed("plan/1", spawn=[step(f"l{n}") for n in range(20)])
    stage.record()
    add(stage, "other", "p2", 1)
    stage.go_on()
    commits = [each.changes for each in stage.sent_commits]
    parts = [len(each.spawn.tasks) for changes in commits for each in changes if each.spawn.tasks]
    assert parts[-2:] == [2, 2]


def test_new_tasks_count_as_so_many_in_a_small_commit() -> None:
    stage = Stage(policy=Policy(shared_commit_changes=4, shared_spawn_part=3))
    engine = stage.engine(slots={"plan": 8, "ssh": 8})
    add(stage, "b", "p2", 1)
    for number in range(6):
        stage.database.create(f"a{number}", "p1")
    stage.claim()
    stage.holds_commits = True
    plans = [each for each in engine.runs if each.key == "plan/1"]
    assert len(plans) == 6
    for plan in plans:
        outcome = stream.Succeeded(spawn=[step(f"s{n}") for n in range(3)])
        engine.say(stream.Result(attempt=plan.attempt, succeeded=outcome))
    engine.succeed("b0")
    while stage.commits:
        stage.record()
    sizes = [sum(len(change.spawn.tasks) for change in each.changes) for each in stage.sent_commits]
    assert max(sizes) <= 6
    assert sum(sizes) == 18
