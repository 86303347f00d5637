"""The smallest numbers of tasks that can be measured, on both databases."""

from __future__ import annotations

import pytest

from bench import tasks


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_the_smallest_workloads_are_measured_and_told(database: str) -> None:
    wanted = [
        tasks.Workload("W1 one operation", "fan-20"),
        tasks.Workload("W3 chain", "chain-3"),
        tasks.Workload("W5 rollback", "rollback-50"),
    ]

    found = await tasks.measure(database, wanted, crowd=0)

    fan, chain, rollback = found.runs
    # Two plans: the first says what is to be done, the second that it is.
    assert (fan.tasks, chain.tasks) == (20 + 2, 3 + 2)
    # One of 50 nodes fails in its third step; all that had been done is taken back.
    assert rollback.tasks >= 201 + 199 + 2
    assert len(chain.waits) == 2
    assert all(run.cpu["conductor"] > 0 or run.seconds < 1 for run in found.runs)
    assert found.floor[0] > 0
    lines = tasks.report([found]).splitlines()
    assert sum(line.split()[:1] == ["W1"] for line in lines) == 2
