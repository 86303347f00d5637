"""How to reach hosts is asked together and kept while it is wanted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from savanna_engine.access import Access

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine


async def test_hosts_of_many_clusters_can_be_asked_for_at_once(engine: Engine) -> None:
    engine.conductor.know("worker-0", 7)
    access = Access(engine.facts, engine.remote)
    clusters = [f"c{number}" for number in range(600)]
    hosts = await asyncio.gather(*(access.host(each, "worker-0") for each in clusters))
    assert {each.address for each in hosts} == {"198.51.100.7"}
    keys = await asyncio.gather(*(access.private_key(each) for each in reversed(clusters)))
    assert set(keys) == {"the key"}
