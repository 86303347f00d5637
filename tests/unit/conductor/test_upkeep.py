"""Old rows go, and nothing that anybody could still need."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna_conductor import upkeep
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import Transaction
from tests.unit.conductor.changes import assign, claimed, codes, lose

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings
    from tests.unit.conductor.conftest import Conductor

DAY = 24 * 3600 * 1_000_000


def tidied(settings: ConductorSettings, *, days: int, most: int = upkeep.MOST) -> list[int]:
    """Remove what is old in so many days; gives how many requests, schedulers, sessions stay."""
    engine = dialect.open_engine(settings.database_url, readers=1)
    tables = (schema.request, schema.scheduler, schema.engine_session)
    with dialect.for_writing(engine.connect()) as connection, connection.begin():
        now = dialect.become_writer(connection) + days * DAY
        upkeep.remove_old(Transaction(connection, now), most=most)
        left = [
            connection.execute(select(func.count()).select_from(each)).scalar_one()
            for each in tables
        ]
    engine.dispose()
    return left


async def test_what_ended_a_day_ago_is_removed_and_lost_work_is_still_taken_back(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    request_id = str(uuid.uuid4())
    await conductor.create("kept", request_id)
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    assert tidied(settings, days=0) == [1, 1, 1]
    assert tidied(settings, days=2) == [0, 1, 0]
    assert codes(await owner.commit(lose(task, 1, session))) == [execution.Verdict.CODE_APPLIED]
    gone = execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    await conductor.execution.ReleaseScheduler(gone)
    assert tidied(settings, days=2) == [0, 0, 0]


async def test_many_old_requests_are_removed_a_few_at_a_time(
    conductor: Conductor, settings: ConductorSettings
) -> None:
    for number in range(5):
        await conductor.create(f"c{number}", str(uuid.uuid4()))
    left = [tidied(settings, days=2, most=1)[0] for _ in range(3)]
    assert left == [3, 1, 0]
