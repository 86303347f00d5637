"""A stage and a client before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_client import Client
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.client.stage import Stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as it:
        yield it


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[Client]:
    async with Client(stage.address) as it:
        yield it
