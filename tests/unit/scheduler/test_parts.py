"""Many new tasks are stored a part after the other, and others have their turn in between."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from savanna.operation.v1.operation_pb2 import TaskSpec
from savanna_scheduler.core.parts import in_parts

if TYPE_CHECKING:
    from collections.abc import Iterator


def spec(number: int, *needs: int) -> TaskSpec:
    return TaskSpec(key=f"t{number}", needs=[f"t{each}" for each in needs])


def parts_of(specs: list[TaskSpec], most: int, most_bytes: int = 2**20) -> Iterator[list[TaskSpec]]:
    parts = in_parts(specs, most=lambda: most, most_bytes=most_bytes, at_once=9)
    return (each for each in parts if each)


def test_few_tasks_are_given_as_they_are() -> None:
    specs = [spec(2, 1), spec(1)]
    assert list(parts_of(specs, 2)) == [specs]


def test_large_tasks_go_alone_and_small_ones_share() -> None:
    specs = [spec(n) for n in range(6)]
    for each in specs[:3]:
        each.body = bytes(1000)

    parts = [[each.key for each in part] for part in parts_of(specs, 200, 900)]

    assert parts == [["t0"], ["t1"], ["t2"], ["t3", "t4", "t5"]]


def test_no_task_is_stored_before_what_it_needs() -> None:
    specs = [spec(n, *(range(max(0, n - 3), n))) for n in range(100)]
    Random(1).shuffle(specs)

    parts = list(parts_of(specs, 7))

    assert {len(each) for each in parts[:-1]} == {7}
    stored: set[str] = set()
    for each in (each for part in parts for each in part):
        assert stored.issuperset(each.needs)
        stored.add(each.key)
    assert len(stored) == 100


def test_tasks_that_need_each_other_or_what_is_not_there_are_kept() -> None:
    specs = [spec(0, 1), spec(1, 0), spec(2, 99), spec(3)]

    ordered = [each.key for part in parts_of(specs, 2) for each in part]

    assert ordered == ["t2", "t3", "t0", "t1"]


def test_looking_at_many_lets_others_have_their_turn() -> None:
    specs = [spec(n) for n in range(9)]
    parts = list(in_parts(specs, most=lambda: 3, most_bytes=2**20, at_once=3))
    assert [len(each) for each in parts] == [0] * 6 + [3] * 3


def test_the_size_of_parts_may_change_on_the_way() -> None:
    room = [4]
    parts = in_parts([spec(n) for n in range(9)], most=lambda: room[0], most_bytes=2**20, at_once=9)
    found = []
    for part in parts:
        found.append(len(part))
        room[0] = 2
    assert found == [0, 0, 2, 2, 2, 2, 1]
