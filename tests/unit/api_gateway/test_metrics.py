"""What a gateway measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit import metrics
from tests.scrapes import scrape

if TYPE_CHECKING:
    from tests.unit.api_gateway.conftest import Front


async def test_requests_are_counted_by_group_method_and_status(front: Front) -> None:
    async with metrics.endpoint("127.0.0.1:0", "api") as where:
        for path in ("/v2/clusters", "/v2/p/clusters", "/v2/clusters/nope", "/v2/nothing/at/all"):
            await front.rest.get(path)
        await front.rest.request("OPTIONS", "/v2/plugins")
        found = await scrape(where)
    counted = {
        name.partition("{")[2].rstrip("}"): value
        for name, value in found.items()
        if name.startswith("savanna_api_requests_total{")
    }
    assert counted == {
        'group="clusters",method="GET",status="200"': 2,
        'group="clusters",method="GET",status="404"': 1,
        'group="none",method="GET",status="404"': 1,
        'group="plugins",method="OTHER",status="405"': 1,
    }
    assert found['savanna_api_request_seconds_count{group="clusters"}'] == 3
