"""A few kills of each kind of mesh in each run of the tests; ``make chaos`` goes on from here."""

from __future__ import annotations

from savanna.operation.v1.operation_pb2 import Operation
from tests.chaos.rounds import Pace, one_round

PACE = Pace(lease=1.5, pause=0.4)
"""Leases so short that a test need not wait long for those of the killed."""


async def test_all_in_one_loses_nothing_however_often_it_is_killed() -> None:
    outcome = await one_round("sqlite", seed=0, kills=3, pace=PACE)
    assert outcome.violations == [], outcome.story
    assert outcome.kills == 3
    assert _ended_well(outcome.operations) > 3


async def test_a_mesh_loses_nothing_whoever_is_killed() -> None:
    outcome = await one_round("postgresql", seed=0, kills=3, pace=PACE)
    assert outcome.violations == [], outcome.story
    assert outcome.kills == 3
    assert _ended_well(outcome.operations) > 3


def _ended_well(operations: list[Operation]) -> int:
    return sum(each.state == Operation.STATE_SUCCEEDED for each in operations)
