"""A database that takes calls and does not answer, and one that was brought to another version."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import text

from savanna_conductor.store import dialect
from savanna_kit.channels import connect
from savanna_kit.errors import Unavailable
from tests.databases import fresh_database
from tests.unit.conductor.conftest import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from savanna_conductor.settings import ConductorSettings

States = health_pb2.HealthCheckResponse
SERVICE = "savanna.conductor.v1.ExecutionService"
BACKENDS = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Give a database that can hang: SQLite is in the conductor's own process."""
    with fresh_database(request, getattr(request, "param", "postgresql"), tmp_path) as url:
        yield url


@pytest.fixture
def impatient(settings: ConductorSettings) -> ConductorSettings:
    return settings.model_copy(update={"statement_seconds": 0.3})


@contextmanager
def session(url: str) -> Iterator[Connection]:
    """Open a session of somebody else."""
    engine = dialect.open_engine(url, readers=1)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


async def until_health_is(
    settings: ConductorSettings, wished: health_pb2.HealthCheckResponse.ServingStatus.ValueType
) -> None:
    async with connect(settings.listen) as channel, asyncio.timeout(8):
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        while (await stub.Check(request)).status != wished:
            await asyncio.sleep(0.05)


async def test_a_lock_that_is_held_for_ever_ends_statements_and_is_told_by_the_health(
    impatient: ConductorSettings,
) -> None:
    async with running(impatient) as conductor:
        await until_health_is(impatient, States.SERVING)
        with session(impatient.database_url) as other:
            other.execute(text("LOCK TABLE operation, counter IN ACCESS EXCLUSIVE MODE"))
            begin = time.monotonic()
            with pytest.raises(Unavailable) as refused:
                await conductor.create("c1", request_id="r1")
            assert (refused.value.reason, time.monotonic() - begin < 2) == (
                "DATABASE_UNAVAILABLE",
                True,
            )
            await until_health_is(impatient, States.NOT_SERVING)
            other.rollback()
        await until_health_is(impatient, States.SERVING)
        stored = await conductor.create("c1", request_id="r1")
        again = await conductor.create("c1", request_id="r1")
        assert stored.cluster.id == again.cluster.id


async def test_a_database_that_lacks_what_it_had_is_told_by_the_health_and_may_come_back(
    settings: ConductorSettings,
) -> None:
    async with running(settings) as conductor:
        await until_health_is(settings, States.SERVING)
        for before, after, health in (
            ("counter", "mislaid", States.NOT_SERVING),
            ("mislaid", "counter", States.SERVING),
        ):
            with session(settings.database_url) as other, other.begin():
                other.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))
            await until_health_is(settings, health)
        await conductor.create("c1")


async def test_a_database_that_hangs_in_the_middle_of_a_conversation_is_cut_off(
    impatient: ConductorSettings,
) -> None:
    async with running(impatient) as conductor:
        await conductor.create("c1")
        with session(impatient.database_url) as other:
            hung = other.execute(text(BACKENDS)).scalars().all()
            other.rollback()
            assert hung
            for each in hung:
                os.kill(each, signal.SIGSTOP)
            try:
                # No limit of the server's own ends this: it does nothing at all.
                created = await conductor.create("c2", request_id="r2")
                assert (await conductor.read(created.cluster.id)).name == "c2"
            finally:
                for each in hung:
                    os.kill(each, signal.SIGCONT)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
async def test_a_conductor_that_runs_stores_nothing_under_a_newer_schema_and_ends(
    settings: ConductorSettings,
) -> None:
    with pytest.RaisesGroup(Unavailable, flatten_subgroups=True):
        async with running(settings) as conductor:
            with session(settings.database_url) as other:
                other.execute(text("UPDATE alembic_version SET version_num = '999_newer'"))
                other.commit()
            with pytest.raises(Unavailable, match="start the version that did it") as refused:
                await conductor.create("c1")
            assert refused.value.reason == "SCHEMA_CHANGED"
            await asyncio.sleep(10)
    with session(settings.database_url) as other:
        assert other.execute(text("SELECT count(*) FROM cluster")).scalar_one() == 0
