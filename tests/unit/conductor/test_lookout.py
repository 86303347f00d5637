"""Who watches is woken by what is told of what they follow, whichever conductor wrote it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna_conductor.store.changes import Changes
from tests.unit.conductor.conftest import PROJECT

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor


def test_only_those_are_woken_who_follow_what_was_told() -> None:
    changes = Changes()
    mine, other = changes.next("c1"), changes.next("c2")
    changes.announce(["c1", "op1"])
    assert (mine.is_set(), other.is_set()) == (True, False)
    assert not changes.next("c1").is_set()


def test_several_who_follow_the_same_are_all_woken() -> None:
    changes = Changes()
    first, second = changes.next("c1"), changes.next("c1")
    changes.announce(["c1"])
    assert first.is_set()
    assert second.is_set()


@pytest.mark.parametrize(
    ("own", "after", "head", "told_all"),
    [
        ([], 0, 0, True),
        ([], 0, 1, False),
        ([range(1, 4)], 0, 3, True),
        ([range(1, 4), range(5, 7)], 0, 6, False),
        ([range(1, 4), range(4, 7)], 2, 6, True),
        ([range(1, 9)], 0, 5, True),
    ],
)
def test_it_is_known_whether_others_wrote(
    own: list[range], after: int, head: int, told_all: bool
) -> None:
    changes = Changes()
    for each in own:
        changes.note_own(each)
    assert changes.told_all(after, head) is told_all


def test_what_was_written_after_a_look_is_remembered_for_the_next() -> None:
    changes = Changes()
    changes.note_own(range(1, 9))
    assert changes.told_all(0, 5)
    assert changes.told_all(5, 8)


async def test_a_watch_sees_at_once_what_another_conductor_wrote(
    conductor: Conductor, other_conductor: Conductor
) -> None:
    watch = conductor.operations.WatchJournal(pb.WatchJournalRequest(project_id=PROJECT))
    # Long before it would look by itself.
    async with asyncio.timeout(4.0):
        for name in ("c1", "c2"):
            made = await other_conductor.create(name)
            page = await watch.read()
            assert isinstance(page, pb.WatchJournalResponse)
            assert {each.cluster_id for each in page.entries} == {made.cluster.id}
    watch.cancel()
