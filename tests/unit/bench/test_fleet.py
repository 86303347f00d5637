"""The smallest fleet, measured."""

from __future__ import annotations

from bench import fleet


async def test_each_cluster_of_a_fleet_is_timed() -> None:
    found = await fleet.measure(2, 1)

    assert len(found.seconds) == 2
    assert 0 < found.seconds[0] <= found.seconds[1]
    assert "last is" in fleet.report([found])
