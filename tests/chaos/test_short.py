"""A few kills of each kind of mesh in each run of the tests; ``make chaos`` goes on from here."""

from __future__ import annotations

import pytest

from savanna.operation.v1.operation_pb2 import Operation
from tests.chaos.rounds import Pace, one_round

PACE = Pace(lease=1.5, pause=0.4)
"""Leases so short that a test need not wait long for those of the killed."""

# A busy machine takes ten times as long as a quiet one.
pytestmark = pytest.mark.timeout(300)

# Seeds with much in little time.
ALL_IN_ONE_AT_A_CRASH_POINT_TOO = 2361
ONE_OF_EACH_ROLE_AND_THE_DATABASE = 2224


async def test_all_in_one_loses_nothing_however_often_it_is_killed() -> None:
    outcome = await one_round("sqlite", ALL_IN_ONE_AT_A_CRASH_POINT_TOO, kills=3, pace=PACE)
    assert outcome.violations == [], outcome.story
    assert outcome.kills == 3
    assert _succeeded(outcome.operations) > 2


async def test_a_mesh_loses_nothing_whoever_is_killed() -> None:
    outcome = await one_round("postgresql", ONE_OF_EACH_ROLE_AND_THE_DATABASE, kills=4, pace=PACE)
    assert outcome.violations == [], outcome.story
    assert outcome.kills == 4
    assert _succeeded(outcome.operations) > 2


def _succeeded(operations: list[Operation]) -> int:
    return sum(each.state == Operation.STATE_SUCCEEDED for each in operations)
