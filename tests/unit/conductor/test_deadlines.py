"""Deadlines: set when an operation begins, and kept by the database's clock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.operation.v1 import operation_pb2
from tests.unit.conductor.changes import end
from tests.unit.conductor.conftest import PROJECT, Conductor, new_owner, running
from tests.unit.conductor.test_clusters import delete
from tests.unit.conductor.test_jobs import submit, template

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings

Operation = operation_pb2.Operation


async def read(conductor: Conductor, operation_id: str) -> Operation:
    name = pb.OwnedName(project_id=PROJECT, id=operation_id)
    answer = await conductor.operations.GetOperation(pb.GetOperationRequest(name=name))
    return answer.operation


def seconds(operation: Operation) -> float:
    """Give the time from the beginning of an operation to its deadline."""
    return (
        operation.deadline.ToMicroseconds() - operation.create_time.ToMicroseconds()
    ) / 1_000_000


async def test_launches_have_two_hours_deletes_one_and_jobs_what_they_need(
    conductor: Conductor,
) -> None:
    created = await conductor.create()
    assert seconds(created.operation) == 7200
    owner = await new_owner(conductor)
    await owner.claim()
    await owner.commit(end(created.operation.id, Operation.STATE_SUCCEEDED))
    job = await submit(conductor, created.cluster.id, await template(conductor))
    assert not job.operation.HasField("deadline")
    await owner.claim()
    await owner.commit(end(job.operation.id, Operation.STATE_SUCCEEDED))
    assert seconds(await delete(conductor, created.cluster.id)) == 3600


async def test_what_is_held_has_its_time_from_its_release_on(conductor: Conductor) -> None:
    created = await conductor.create()
    owner = await new_owner(conductor)
    await owner.claim()
    held = await delete(conductor, created.cluster.id)
    assert not held.HasField("deadline")
    await owner.commit(end(created.operation.id, Operation.STATE_CANCELLED))
    assert seconds(await read(conductor, held.id)) >= 3600


@pytest.mark.parametrize("goal", [Operation.GOAL_LAUNCH, Operation.GOAL_DELETE])
async def test_what_takes_too_long_is_led_to_its_end(
    settings: ConductorSettings, goal: Operation.Goal.ValueType
) -> None:
    short = settings.model_copy(
        update={"launch_deadline_seconds": 0.1, "delete_deadline_seconds": 0.1}
    )
    async with running(short) as conductor:
        created = await conductor.create()
        late = created.operation
        if goal == Operation.GOAL_DELETE:
            late = await delete(conductor, created.cluster.id)
        owner = await new_owner(conductor)
        assert (await owner.claim()).graphs[0].operation.id == late.id
        async with asyncio.timeout(5):
            while not (await owner.claim()).cancels:
                await asyncio.sleep(0.05)
        operation = await read(conductor, late.id)
        assert operation.deadline_exceeded
        assert operation.cancel_requested
