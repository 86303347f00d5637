"""Several conductors on one database: whoever is asked, the answer is that of one."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_kit.errors import AlreadyExists
from tests.unit.conductor.changes import assign, codes, end
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Operation = operation_pb2.Operation
Verdict = execution.Verdict


@pytest.fixture
def both(conductor: Conductor, other_conductor: Conductor) -> list[Conductor]:
    return [conductor, other_conductor]


async def test_the_same_request_on_both_makes_one_cluster(both: list[Conductor]) -> None:
    for number in range(5):
        request_id = str(uuid.uuid4())
        answers = await asyncio.gather(
            *(each.create(f"c{number}", request_id) for each in (*both, *both))
        )
        assert len({each.cluster.id for each in answers}) == 1


async def test_a_name_is_given_once(both: list[Conductor]) -> None:
    for number in range(5):
        answers = await asyncio.gather(
            *(each.create(f"c{number}") for each in (*both, *both)), return_exceptions=True
        )
        refused = [each for each in answers if isinstance(each, AlreadyExists)]
        assert len(refused) == 3


async def test_operations_are_claimed_once(both: list[Conductor]) -> None:
    for number in range(10):
        await both[number % 2].create(f"c{number}")
    owners = [await new_owner(each) for each in (*both, *both)]
    answers = await asyncio.gather(*(owner.claim(max_operations=4) for owner in owners))
    taken = [graph.operation.id for answer in answers for graph in answer.graphs]
    assert len(taken) == len(set(taken)) == 10


async def test_a_session_may_begin_on_both_at_once(both: list[Conductor]) -> None:
    for _ in range(5):
        session = execution.Session(session_id=str(uuid.uuid4()), engine_id="engine-1")
        request = execution.RenewSessionsRequest(sessions=[session])
        answers = await asyncio.gather(
            *(each.execution.RenewSessions(request) for each in (*both, *both))
        )
        assert [list(each.ended) for each in answers] == [[]] * 4


async def test_a_commit_whose_reply_was_lost_is_known_to_the_other_conductor(
    both: list[Conductor],
) -> None:
    await both[0].create()
    owner = await new_owner(both[0])
    task = (await owner.claim()).graphs[0].tasks[0]
    change = assign(task, 1, await both[1].session())
    verdicts = await owner.commit(change)
    elsewhere = Owner(both[1], owner.scheduler_id, owner.number)
    assert await elsewhere.commit_again(change) == verdicts
    assert codes(verdicts) == [Verdict.CODE_APPLIED]


async def test_a_claim_that_waits_sees_what_the_other_conductor_writes(
    both: list[Conductor],
) -> None:
    owner = await new_owner(both[0])
    asked = asyncio.create_task(owner.claim(wait_seconds=10))
    await both[1].create()
    async with asyncio.timeout(5):
        assert len((await asked).graphs) == 1


async def test_no_job_is_left_held_when_its_blocker_ends_at_the_same_moment(
    both: list[Conductor],
) -> None:
    item = catalog_pb2.Item(job_template=job_pb2.JobTemplate(name="t", type="Shell"))
    template_id = (await both[0].item(item)).job_template.id
    owner = await new_owner(both[0])
    for number in range(6):
        created = await both[0].create(f"c{number}")
        await owner.claim()
        request = pb.CreateJobRequest(
            project_id=PROJECT,
            job=job_pb2.Job(cluster_id=created.cluster.id, job_template_id=template_id),
        )
        _, sent = await asyncio.gather(
            owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED)),
            both[1].jobs.CreateJob(request),
        )
        name = pb.OwnedName(project_id=PROJECT, id=sent.operation.id)
        answer = await both[1].operations.GetOperation(pb.GetOperationRequest(name=name))
        assert answer.operation.state == Operation.STATE_PENDING


async def test_a_template_is_removed_or_used_but_never_both(both: list[Conductor]) -> None:
    for number in range(6):
        item = catalog_pb2.Item(job_binary=job_pb2.JobBinary(name=f"b{number}"))
        binary = (await both[0].item(item)).job_binary
        name = catalog_pb2.ItemName(
            project_id=PROJECT, kind=catalog_pb2.ITEM_KIND_JOB_BINARY, id=binary.id
        )
        template = job_pb2.JobTemplate(name=f"t{number}", type="Shell", mains=[binary.id])
        outcomes = await asyncio.gather(
            both[0].catalog.DeleteItem(catalog_pb2.DeleteItemRequest(name=name)),
            both[1].item(catalog_pb2.Item(job_template=template)),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Exception) for each in outcomes) == 1


@asynccontextmanager
async def on_postgresql(server: str, folder: Path) -> AsyncIterator[tuple[Conductor, str]]:
    """Run a conductor on a fresh database of a server; gives it and the database's URL."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    admin.dispose()
    url = server.replace("/postgres?", f"/{name}?")
    engine = dialect.open_engine(url, readers=1)
    migrate(engine)
    engine.dispose()
    settings = ConductorSettings(
        listen=f"unix:{folder}/conductor.sock",
        database_url=url,
        key_file=folder / "savanna.key",
        drain_seconds=0.2,
    )
    async with running(settings) as conductor:
        yield conductor, url


async def test_a_database_that_hung_up_is_asked_again(
    postgresql_server: str, tmp_path: Path
) -> None:
    """Every connection is ended by the server, as when it is restarted."""
    admin = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    async with on_postgresql(postgresql_server, tmp_path) as (conductor, url):
        kill = text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        ).bindparams(name=make_url(url).database)
        for number in range(3):
            created = await conductor.create(f"c{number}")
            with admin.connect() as connection:
                connection.execute(kill)
            assert (await conductor.read(created.cluster.id)).id == created.cluster.id
            with admin.connect() as connection:
                connection.execute(kill)
    admin.dispose()


async def test_a_conductor_that_stands_still_while_it_writes_gives_way(
    postgresql_server: str, tmp_path: Path
) -> None:
    """It holds the place of the writer; leases of others must not end by that."""
    async with on_postgresql(postgresql_server, tmp_path) as (conductor, url):
        engine = dialect.open_engine(url, readers=1)
        stopped = dialect.for_writing(engine.connect())
        stopped.begin()
        dialect.become_writer(stopped)
        async with asyncio.timeout(5):
            await conductor.create()
        with pytest.raises(OperationalError):
            stopped.execute(text("SELECT 1"))
        stopped.invalidate()
        stopped.close()
        engine.dispose()
