"""A real conductor on SQLite, and real schedulers before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_conductor.main import build as build_conductor
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_kit import serving
from savanna_kit.channels import connect
from savanna_scheduler.main import build as build_scheduler
from savanna_scheduler.settings import SchedulerSettings
from tests.unit.conductor.conftest import Conductor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


class Place:
    """Where the services of a test run, and how they are started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._url = f"sqlite:///{folder}/savanna.db"
        self.conductor_address = f"unix:{folder}/conductor.sock"
        engine = dialect.open_engine(self._url, readers=1)
        migrate(engine)
        engine.dispose()

    def address(self, name: str) -> str:
        return f"unix:{self._folder}/{name}.sock"

    def conductor(self) -> serving.Parts:
        """Describe a conductor with short leases."""
        return build_conductor(
            ConductorSettings(
                listen=self.conductor_address,
                database_url=self._url,
                key_file=self._folder / "savanna.key",
                scheduler_lease_seconds=1.0,
                engine_lease_seconds=0.6,
                look_seconds=0.05,
                drain_seconds=0.3,
            )
        )

    def scheduler(self, name: str, conductor: str = "") -> AbstractAsyncContextManager[object]:
        """Run a scheduler."""
        given = SchedulerSettings(
            listen=self.address(name),
            conductor=conductor or self.conductor_address,
            drain_seconds=2.0,
        )
        return serving.running([build_scheduler(given)])


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Prepare a folder with an empty database."""
    return Place(tmp_path)


@pytest.fixture
async def conductor(place: Place) -> AsyncIterator[Conductor]:
    """Run a conductor."""
    async with (
        serving.running([place.conductor()]),
        connect(place.conductor_address) as channel,
    ):
        yield Conductor(channel)
