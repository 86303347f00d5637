"""Refusing a stream of requests so that its caller hears why.

A caller that still writes when its call ends sees gRPC's own "internal error" instead of the
answer, whichever comes first. So whoever refuses lets it finish before, within reason.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 5.0
"""Seconds that a refused caller gets to finish."""


@asynccontextmanager
async def heard_out(requests: AsyncIterator[object]) -> AsyncIterator[None]:
    """Run a block that reads ``requests``; what it refuses is raised once the caller is done."""
    try:
        yield
    except SavannaError:
        try:
            async with asyncio.timeout(PATIENCE):
                async for _ in requests:
                    pass
        except TimeoutError:
            pass
        raise
