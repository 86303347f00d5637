"""The smallest launches that can be measured, on real hosts and on simulated ones."""

from __future__ import annotations

import pytest

from bench import launch


@pytest.mark.parametrize("cloud", ["local", "simulated"])
async def test_the_smallest_launch_is_measured_and_told(cloud: str) -> None:
    (size,) = await launch.measure(cloud, [2])
    typical = size.typical
    assert (typical.nodes, typical.commands) == (2, 4)
    assert typical.tasks >= 2 * 4 + 1
    assert typical.cpu["engines"] > 0
    assert set(typical.spans) >= {"plan", "create_server", "await_server", "Start processes"}
    if cloud == "local":
        assert size.floor is not None
        assert typical.log_ins is not None
        assert 2 <= typical.log_ins <= 4, "each of two engines logs in once to a host at most"
    lines = launch.report([size]).splitlines()
    assert sum(line.split()[:2] == [cloud, "2"] for line in lines) == 4
