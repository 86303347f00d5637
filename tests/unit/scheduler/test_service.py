"""The whole scheduler: real streams, a real conductor, a real database, real time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
from grpc.aio import AioRpcError

from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna.scheduler.v1 import scheduler_service_pb2_grpc
from savanna_kit import errors, serving, status
from savanna_kit.channels import connect
from tests.unit.conductor.conftest import PROJECT, Conductor
from tests.unit.scheduler import bad_line
from tests.unit.scheduler.scripted_engine import ScriptedEngine
from tests.unit.scheduler.stage import step

if TYPE_CHECKING:
    import grpc

    from tests.unit.scheduler.conftest import Place

Operation = operation_pb2.Operation
Task = operation_pb2.Task


async def read(conductor: Conductor, operation_id: str) -> clusters_pb2.GetOperationResponse:
    name = clusters_pb2.OwnedName(project_id=PROJECT, id=operation_id)
    return await conductor.operations.GetOperation(clusters_pb2.GetOperationRequest(name=name))


async def state(conductor: Conductor, operation_id: str, key: str) -> Task:
    tasks = (await read(conductor, operation_id)).tasks
    return next(each.task for each in tasks if each.task.spec.key == key)


async def test_an_operation_flows_from_its_first_plan_to_its_end(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    engine = ScriptedEngine()
    async with place.scheduler("s1"), engine.connected(place.address("s1")):
        await engine.succeed("plan/1", spawn=[step("a"), step("b", "a")])
        assert "b" not in engine.running
        await engine.succeed("a")
        assert (await state(conductor, operation_id, "a")).state == Task.STATE_SUCCEEDED
        await engine.succeed("b")
        await engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    assert (await read(conductor, operation_id)).operation.state == Operation.STATE_SUCCEEDED
    assert engine.runs == ["plan/1", "a", "b", "plan/2"]


async def test_tasks_of_an_engine_that_disappears_go_to_another_after_its_lease(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    first, second = ScriptedEngine("e1"), ScriptedEngine("e2")
    async with place.scheduler("s1"):
        async with first.connected(place.address("s1")):
            await first.succeed("plan/1", spawn=[step("a")])
            await first.get("a")
        begin = time.monotonic()
        async with second.connected(place.address("s1")):
            assignment = await second.get("a")
            assert 0.3 < time.monotonic() - begin < 2.0
            assert assignment.attempt.epoch == 2
            await second.succeed("a")
    task = await state(conductor, operation_id, "a")
    assert (task.state, task.lost_attempts, task.failed_attempts) == (Task.STATE_SUCCEEDED, 1, 0)


async def test_an_engine_that_reconnects_keeps_its_work(place: Place, conductor: Conductor) -> None:
    operation_id = (await conductor.create()).operation.id
    engine = ScriptedEngine()
    async with place.scheduler("s1"):
        async with engine.connected(place.address("s1")):
            await engine.succeed("plan/1", spawn=[step("a")])
            await engine.get("a")
        async with engine.connected(place.address("s1")):
            await asyncio.sleep(0.8)
            assert engine.runs.count("a") == 1
            assert (await engine.succeed("a"))[1] == 1
    assert (await state(conductor, operation_id, "a")).lost_attempts == 0


async def test_a_silent_engine_whose_session_is_over_is_told_to_begin_anew(
    place: Place, conductor: Conductor
) -> None:
    engine = ScriptedEngine()
    async with place.scheduler("s1"), connect(place.address("s1")) as channel:
        async with engine.connected(place.address("s1")):
            pass
        await asyncio.sleep(0.7)
        hello = stream.Hello(session_id=engine.session_id, engine_id="e", protocol=1)
        with pytest.raises(errors.FailedPrecondition) as refused:
            await say_first(channel, stream.ConnectRequest(hello=hello))
        assert refused.value.reason == "SESSION_OVER"


async def test_a_conversation_that_begins_wrongly_is_refused_with_the_reason(
    place: Place, conductor: Conductor
) -> None:
    del conductor
    async with place.scheduler("s1"), connect(place.address("s1")) as channel:
        with pytest.raises(errors.InvalidArgument, match="must be 'hello'"):
            await say_first(channel, stream.ConnectRequest(goodbye=stream.Goodbye()))
        with pytest.raises(errors.FailedPrecondition, match="same version"):
            await say_first(channel, stream.ConnectRequest(hello=stream.Hello(protocol=9)))


async def say_first(channel: grpc.aio.Channel, request: stream.ConnectRequest) -> None:
    stub: scheduler_service_pb2_grpc.SchedulerServiceAsyncStub = (
        scheduler_service_pb2_grpc.SchedulerServiceStub(channel)
    )
    call = stub.Connect()
    try:
        await call.write(request)
        async with asyncio.timeout(5):
            await call.read()
    except AioRpcError as failure:
        raise status.from_rpc_error(failure) from failure
    finally:
        call.cancel()


async def test_a_scheduler_that_ends_hands_over_without_a_pause(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    before, after = ScriptedEngine(), ScriptedEngine()
    after.session_id = before.session_id  # One engine, connected to both.
    async with AsyncExitStack() as streams, AsyncExitStack() as first:
        await first.enter_async_context(place.scheduler("s1"))
        await streams.enter_async_context(before.connected(place.address("s1")))
        await before.succeed("plan/1", spawn=[step("a"), step("b", "a")])
        await before.get("a")
        async with place.scheduler("heir"), after.connected(place.address("heir")):
            begin = time.monotonic()
            await first.aclose()
            assert before.drained
            assert (await after.succeed("a"))[1] == 1
            await after.get("b")
            assert time.monotonic() - begin < 1.0
    assert (await state(conductor, operation_id, "a")).lost_attempts == 0


async def test_answers_of_commits_that_are_lost_lose_nothing(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    parts, line = bad_line.build(place.address("line"), place.conductor_address)
    line.loses_every = 2
    engine = ScriptedEngine()
    async with (
        serving.running([parts]),
        place.scheduler("s1", place.address("line")),
        engine.connected(place.address("s1")),
    ):
        await engine.succeed("plan/1", spawn=[step("a"), step("b", "a")])
        await engine.succeed("a")
        await engine.succeed("b")
        await engine.succeed("plan/2", end=Operation.STATE_SUCCEEDED)
    assert line.lost >= 2
    history = await read(conductor, operation_id)
    assert history.operation.state == Operation.STATE_SUCCEEDED
    assert all(len(each.attempts) == 1 for each in history.tasks)


async def test_a_commit_under_way_arrives_before_a_scheduler_hands_over(
    place: Place, conductor: Conductor
) -> None:
    operation_id = (await conductor.create()).operation.id
    parts, line = bad_line.build(place.address("line"), place.conductor_address)
    engine = ScriptedEngine()
    async with serving.running([parts]), AsyncExitStack() as streams, AsyncExitStack() as first:
        await first.enter_async_context(place.scheduler("s1", place.address("line")))
        await streams.enter_async_context(engine.connected(place.address("s1")))
        assignment = await engine.get("plan/1")
        line.delay = 0.3
        given = asyncio.create_task(engine.succeed("plan/1", spawn=[step("a")]))
        await asyncio.sleep(0.1)
        begin = time.monotonic()
        await first.aclose()
        assert time.monotonic() - begin < 1.0
        assert await given == (assignment.attempt.task_id, 1)
        heir = ScriptedEngine("e2")
        begin = time.monotonic()
        async with place.scheduler("heir"), heir.connected(place.address("heir")):
            await heir.succeed("a")
        assert time.monotonic() - begin < 0.9, "the lease was not given up"
    assert (await state(conductor, operation_id, "a")).state == Task.STATE_SUCCEEDED


async def test_the_conductor_may_be_restarted(place: Place) -> None:
    engine = ScriptedEngine()
    async with place.scheduler("s1"):
        async with (
            serving.running([place.conductor()]),
            connect(place.conductor_address) as channel,
        ):
            await Conductor(channel).create()
            async with engine.connected(place.address("s1")):
                await engine.succeed("plan/1", spawn=[step("a")])
                await engine.get("a")
        other = ScriptedEngine("e2")
        async with serving.running([place.conductor()]):
            await asyncio.sleep(0.7)
            async with other.connected(place.address("s1")):
                await other.succeed("a")
