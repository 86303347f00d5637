"""How the mesh stands, as the conductor tells it: living and dead, owned and waiting."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.conductor.v1 import mesh_service_pb2
from savanna.mesh.v1.mesh_pb2 import (
    LIVENESS_ALIVE,
    LIVENESS_ENDED,
    LIVENESS_SILENT,
    MeshStatus,
    Wait,
)
from savanna.operation.v1.operation_pb2 import Operation, TaskSpec
from tests.unit.conductor.changes import assign, claimed, codes, defer, finish, spawn
from tests.unit.conductor.conftest import PROJECT, new_owner

if TYPE_CHECKING:
    from tests.unit.conductor.conftest import Conductor


async def look(conductor: Conductor) -> MeshStatus:
    answer = await conductor.mesh.GetMeshStatus(mesh_service_pb2.GetMeshStatusRequest())
    return answer.status


async def engine(conductor: Conductor, name: str = "engine-1", **capacity: int) -> str:
    session = execution.Session(
        session_id=str(uuid.uuid4()), engine_id=name, capacity=capacity or {"plan": 1, "ssh": 2}
    )
    await conductor.execution.RenewSessions(execution.RenewSessionsRequest(sessions=[session]))
    return session.session_id


def reasons(status: MeshStatus) -> list[Wait.Reason.ValueType]:
    return [wait.reason for each in status.operations for wait in each.waits]


async def test_an_empty_mesh_has_nobody_and_nothing(conductor: Conductor) -> None:
    status = await look(conductor)
    assert status.time.seconds > 0
    status.ClearField("time")
    assert status == MeshStatus()


async def test_an_operation_that_nobody_takes_waits_for_a_scheduler(conductor: Conductor) -> None:
    begun = await conductor.create()
    status = await look(conductor)
    [each] = status.operations
    assert (each.operation.id, each.scheduler_id) == (begun.operation.id, "")
    assert each.operation.cluster_name == "c1"
    [project] = status.projects
    assert (project.project_id, project.operations) == (PROJECT, 1)
    assert project.oldest_wait.reason == Wait.REASON_NO_SCHEDULER
    assert project.oldest_wait.message == "no scheduler is there: start one"


async def test_owners_and_what_their_engines_have_are_told(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    spare = await engine(conductor, "engine-2")
    await owner.commit(assign(graph.tasks[0], 1, session))
    status = await look(conductor)
    [scheduler] = status.schedulers
    assert (scheduler.scheduler_id, scheduler.liveness) == (owner.scheduler_id, LIVENESS_ALIVE)
    assert (scheduler.operations, scheduler.running_tasks) == (1, 1)
    assert scheduler.start_time.seconds <= status.time.seconds < scheduler.lease_end_time.seconds
    busy, idle = status.engines
    assert (busy.session_id, busy.liveness) == (session, LIVENESS_ALIVE)
    assert [(each.pool, each.slots, each.running) for each in busy.pools] == [("plan", 0, 1)]
    assert (busy.oldest.task_key, busy.oldest.cluster_name) == ("plan/1", "c1")
    assert (idle.session_id, idle.HasField("oldest")) == (spare, False)
    assert [(each.pool, each.slots) for each in idle.pools] == [("plan", 1), ("ssh", 2)]
    [each] = status.operations
    assert (each.scheduler_id, list(each.waits)) == (owner.scheduler_id, [])
    assert status.projects[0].running_tasks == 1


async def test_each_task_waits_for_its_own_reason(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    session = await engine(conductor)
    operation = graph.operation.id
    plan = graph.tasks[0]
    await owner.commit(assign(plan, 1, session))
    verdicts = await owner.commit(
        finish(plan, 1, session),
        spawn(
            operation,
            TaskSpec(key="create", pool="ssh", title="Create"),
            TaskSpec(key="await", pool="ssh", title="Await"),
            TaskSpec(key="start", pool="ssh", title="Start", needs=["create"], instance="w-0"),
            TaskSpec(key="last", pool="ssh", needs=["start"]),
        ),
    )
    create, awaited, _, _ = verdicts[1].spawned
    assert reasons(await look(conductor)) == [Wait.REASON_HAND_OUT, Wait.REASON_NEEDS]

    later = defer(awaited, 1, session)
    later.defer.delay.FromSeconds(60)
    await owner.commit(assign(create, 1, session), assign(awaited, 1, session))
    await owner.commit(later)
    status = await look(conductor)
    not_yet, needs = status.operations[0].waits
    assert (not_yet.reason, not_yet.tasks) == (Wait.REASON_NOT_YET, 1)
    assert not_yet.until_time.seconds - status.time.seconds in (59, 60)
    assert (needs.reason, needs.tasks, needs.task_key) == (Wait.REASON_NEEDS, 2, "start")
    assert needs.message == "needs 'Create'"

    await owner.commit(finish(create, 1, session))
    status = await look(conductor)
    ready = status.operations[0].waits[0]
    assert (ready.reason, ready.title, ready.instance) == (Wait.REASON_HAND_OUT, "Start", "w-0")
    assert status.projects[0].ready_tasks == 1
    assert status.projects[0].oldest_wait == ready
    counts = status.operations[0].operation.tasks
    assert (counts.total, counts.succeeded, counts.running) == (5, 2, 0)


async def test_who_is_killed_is_silent_until_others_have_taken_over(
    hasty_conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(hasty_conductor)
    await owner.commit(assign(graph.tasks[0], 1, session))
    async with asyncio.timeout(10):
        while True:
            status = await look(hasty_conductor)
            states = {status.schedulers[0].liveness, status.engines[0].liveness}
            if states == {LIVENESS_SILENT}:
                break
            await asyncio.sleep(0.05)
    assert reasons(status) == [Wait.REASON_SCHEDULER_SILENT]
    assert status.engines[0].lease_end_time.ToMicroseconds() < status.time.ToMicroseconds()

    heir = await new_owner(hasty_conductor)
    assert [each.operation.id for each in (await heir.claim()).graphs] == [graph.operation.id]
    status = await look(hasty_conductor)
    assert reasons(status) == [Wait.REASON_ENGINE_SILENT]
    assert [each.scheduler_id for each in status.schedulers] == [heir.scheduler_id], (
        "one at the same address has taken its place"
    )
    back = defer(graph.tasks[0], 1, session)
    back.defer.only_if_session_ended = True
    assert codes(await heir.commit(back)) == [execution.Verdict.CODE_APPLIED]
    status = await look(hasty_conductor)
    assert [each.liveness for each in status.engines] == [LIVENESS_ENDED]
    await engine(hasty_conductor)
    status = await look(hasty_conductor)
    assert [each.liveness for each in status.engines] == [LIVENESS_ALIVE], "one line an engine"


async def test_a_scheduler_that_gave_up_its_lease_ended_at_that_moment(
    conductor: Conductor,
) -> None:
    owner, _, _ = await claimed(conductor)
    await conductor.execution.ReleaseScheduler(
        execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    )
    status = await look(conductor)
    [scheduler] = status.schedulers
    assert (scheduler.liveness, scheduler.operations) == (LIVENESS_ENDED, 0)
    assert scheduler.lease_end_time.ToMicroseconds() <= status.time.ToMicroseconds()
    assert reasons(status) == [Wait.REASON_NO_SCHEDULER]


async def test_ended_operations_are_left_out_and_many_are_counted(conductor: Conductor) -> None:
    for number in range(22):
        await conductor.create(f"c{number}")
    status = await look(conductor)
    assert [each.operation.cluster_name for each in status.operations] == [
        f"c{number}" for number in range(20)
    ]
    assert (status.more_operations, status.projects[0].operations) == (2, 22)
    owner = await new_owner(conductor)
    graphs = (await owner.claim(max_operations=22)).graphs
    for graph in graphs:
        over = execution.EndOperation(
            operation_id=graph.operation.id, state=Operation.STATE_SUCCEEDED
        )
        await owner.commit(execution.Change(end_operation=over))
    status = await look(conductor)
    assert (len(status.operations), status.more_operations, len(status.projects)) == (0, 0, 0)


async def test_engines_that_a_scheduler_drains_are_told_as_long_as_it_says_so(
    conductor: Conductor,
) -> None:
    owner = await new_owner(conductor)
    await engine(conductor, "engine-7")
    drained = execution.DrainedEngine(engine_id="engine-7", reason="lost thrice; look at it")
    drained.rest.FromSeconds(500)
    renewal = execution.RenewSchedulerRequest(
        scheduler_id=owner.scheduler_id, address="unix:/none", drained=[drained]
    )
    await conductor.execution.RenewScheduler(renewal)
    status = await look(conductor)
    [told] = status.schedulers[0].drains
    assert (told.engine_id, told.reason) == ("engine-7", "lost thrice; look at it")
    assert 495 < told.until_time.seconds - status.time.seconds <= 500
    renewal.ClearField("drained")
    await conductor.execution.RenewScheduler(renewal)
    assert not (await look(conductor)).schedulers[0].drains
