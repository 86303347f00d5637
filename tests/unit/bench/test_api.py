"""A load so short that it measures nothing, of each kind, idle, by Envoy, and during a launch."""

from __future__ import annotations

from bench import api


async def test_each_kind_of_request_is_measured_and_told() -> None:
    plan = api.Plan(clusters=2, nodes=2, idle=(2,), busy=(1,), envoy=(2,), seconds=0.1)
    rows = await api.measure(plan)
    kinds = ["GET versions", "GET cluster", "GET list of 2", "POST template"]
    assert [(each.meanwhile, each.kind.title) for each in rows] == [
        *(("idle", kind) for kind in kinds),
        *((api.ENVOY, kind) for kind in kinds),
        *(("launch", kind) for kind in kinds),
    ]
    for each in rows:
        assert each.served.rate > 0
        assert 0 < each.served.quantile(0.5) <= each.served.quantile(0.99)
    told = api.report(rows).splitlines()
    begins = ("idle", "launch")
    assert sum(line.strip().startswith(begins) for line in told) == len(rows)
    added = told.index("What Envoy adds to a request")
    assert sum(line.strip().startswith(("GET", "POST")) for line in told[added:]) == len(kinds)
