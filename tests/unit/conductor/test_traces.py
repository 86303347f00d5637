"""Which trace an operation belongs to."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from savanna_kit import telemetry

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor


async def test_operations_that_are_asked_for_at_once_keep_the_traces_of_their_own_requests(
    conductor: Conductor,
) -> None:
    async def ask(number: int) -> tuple[str, str]:
        trace = uuid.uuid4().hex
        with telemetry.span("a request", f"00-{trace}-b7ad6b7169203331-01"):
            made = await conductor.create(f"cluster-{number}")
        return trace, made.operation.traceparent.split("-")[1]

    asked = await asyncio.gather(*(ask(number) for number in range(8)))
    assert [found for _, found in asked] == [wanted for wanted, _ in asked]
