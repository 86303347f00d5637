"""Leases, claims and commits: what is recorded is recorded once, by the one who may."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2 as clusters_pb2
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.conductor.v1 import facts_service_pb2 as facts_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store import dialect, schema
from savanna_kit.errors import Aborted, FailedPrecondition
from tests.unit.conductor.changes import (
    assign,
    claimed,
    codes,
    defer,
    end,
    finish,
    lose,
    quarantine,
    spawn,
)
from tests.unit.conductor.conftest import PROJECT, Conductor, new_owner

if TYPE_CHECKING:
    from savanna_conductor.settings import ConductorSettings

Attempt = operation_pb2.Attempt
Instance = cluster_pb2.Instance
Operation = operation_pb2.Operation
Task = operation_pb2.Task
Verdict = execution.Verdict


async def test_a_cluster_is_stored_with_its_launch_and_the_first_plan(conductor: Conductor) -> None:
    created = await conductor.create()
    assert created.operation.goal == Operation.GOAL_LAUNCH
    assert created.cluster.management_public_key.startswith("ssh-ed25519 ")
    owner = await new_owner(conductor)
    answer = await owner.claim()
    assert [graph.operation.id for graph in answer.graphs] == [created.operation.id]
    assert [task.spec.key for task in answer.graphs[0].tasks] == ["plan/1"]


async def test_a_claim_tells_the_time_by_which_its_times_are_meant(conductor: Conductor) -> None:
    owner, graph, session_id = await claimed(conductor)
    task = graph.tasks[0]
    later = execution.Defer(
        task_id=task.id, epoch=1, session_id=session_id, outcome=Attempt.OUTCOME_NOT_YET
    )
    later.delay.FromSeconds(3600)
    await owner.commit(assign(task, 1, session_id), execution.Change(defer=later))
    await conductor.execution.ReleaseScheduler(
        execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    )

    answer = await (await new_owner(conductor)).claim()

    waits = answer.graphs[0].tasks[0].not_before_time.ToSeconds() - answer.time.ToSeconds()
    assert 3590 <= waits <= 3600


async def test_an_operation_is_claimed_by_one_scheduler_alone(conductor: Conductor) -> None:
    for number in range(8):
        await conductor.create(f"c{number}")
    owners = [await new_owner(conductor) for _ in range(3)]
    answers = await asyncio.gather(*(owner.claim(max_operations=3) for owner in owners))
    taken = [graph.operation.id for answer in answers for graph in answer.graphs]
    assert len(taken) == len(set(taken)) == 8


async def test_a_scheduler_is_told_how_many_there_are(conductor: Conductor) -> None:
    async def renew(scheduler_id: str) -> int:
        request = execution.RenewSchedulerRequest(scheduler_id=scheduler_id, address="unix:/none")
        return (await conductor.execution.RenewScheduler(request)).living_schedulers

    assert [await renew("s1"), await renew("s2"), await renew("s1")] == [1, 2, 2]
    await conductor.execution.ReleaseScheduler(execution.ReleaseSchedulerRequest(scheduler_id="s2"))
    assert await renew("s1") == 1


async def test_operations_that_fit_into_no_message_together_are_claimed_one_after_the_other(
    conductor: Conductor,
) -> None:
    for name in ("small", "large", "larger"):
        await conductor.create(name)
    owner = await new_owner(conductor)
    for graph in (await owner.claim()).graphs:
        body = b"" if graph.operation.cluster_name == "small" else bytes(5000)
        tasks = [operation_pb2.TaskSpec(key="t", body=body)]
        spawn = execution.Spawn(operation_id=graph.operation.id, tasks=tasks)
        await owner.commit(execution.Change(spawn=spawn))
    await conductor.execution.ReleaseScheduler(
        execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    )
    heir = await new_owner(conductor)
    claims = [await heir.claim(max_bytes=8000) for _ in range(2)]
    names = [[each.operation.cluster_name for each in claim.graphs] for claim in claims]
    assert names == [["small", "large"], ["larger"]]


async def test_a_claim_waits_until_there_is_something(conductor: Conductor) -> None:
    owner = await new_owner(conductor)
    asked = asyncio.create_task(owner.claim(wait_seconds=10))
    await conductor.create()
    async with asyncio.timeout(5):
        assert len((await asked).graphs) == 1


async def test_a_task_goes_through_its_life_and_facts_land_on_the_cluster(
    conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    assert codes(await owner.commit(assign(task, 1, session))) == [Verdict.CODE_APPLIED]
    facts = cluster_pb2.Facts(
        instances=[
            Instance(
                name=f"c1-worker-{n}", node_group="worker", index=n, state=Instance.STATE_PLANNED
            )
            for n in range(2)
        ]
    )
    create = operation_pb2.TaskSpec(key="create/c1-worker-0", title="Create servers")
    verdicts = await owner.commit(
        finish(task, 1, session, facts), spawn(graph.operation.id, create)
    )
    assert codes(verdicts) == [Verdict.CODE_APPLIED] * 2
    assert verdicts[1].spawned[0].id
    cluster = await conductor.read(graph.operation.cluster_id)
    assert cluster.state == cluster_pb2.Cluster.STATE_SPAWNING
    assert [each.name for each in cluster.node_groups[0].instances] == [
        "c1-worker-0",
        "c1-worker-1",
    ]


async def test_spawning_a_key_again_stores_nothing(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    spec = operation_pb2.TaskSpec(key="once")
    change = spawn(graph.operation.id, spec, spec)
    assert len((await owner.commit(change))[0].spawned) == 1
    assert len((await owner.commit(change))[0].spawned) == 0


async def test_new_tasks_come_back_whole_also_when_the_reply_was_lost(
    conductor: Conductor,
) -> None:
    owner, graph, _ = await claimed(conductor)
    specs = [operation_pb2.TaskSpec(key=f"t{n}", body=bytes([n]) * 1000) for n in range(3)]
    change = spawn(graph.operation.id, *specs)
    first = await owner.commit(change)
    assert [each.spec for each in first[0].spawned] == specs
    assert await owner.commit_again(change) == first


async def test_a_commit_whose_reply_was_lost_gives_the_stored_outcome(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    change = assign(graph.tasks[0], 1, session)
    first = await owner.commit(change)
    assert await owner.commit_again(change) == first
    owner.number += 1
    with pytest.raises(FailedPrecondition, match="does not follow"):
        await owner.commit(change)


async def test_results_of_an_older_attempt_are_stale(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    other = await conductor.session()
    verdicts = await owner.commit(
        finish(task, 2, session), finish(task, 1, other), assign(task, 2, session)
    )
    assert codes(verdicts) == [Verdict.CODE_STALE] * 3
    assert codes(await owner.commit(finish(task, 1, session))) == [Verdict.CODE_APPLIED]
    assert codes(await owner.commit(finish(task, 1, session))) == [Verdict.CODE_STALE]


async def test_work_is_taken_back_only_when_the_session_is_over_by_the_database(
    hasty_conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(hasty_conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    assert codes(await owner.commit(lose(task, 1, session))) == [Verdict.CODE_SESSION_ALIVE]
    async with asyncio.timeout(5):
        while codes(await owner.commit(lose(task, 1, session))) != [Verdict.CODE_APPLIED]:
            await asyncio.sleep(0.05)
    verdicts = await owner.commit(finish(task, 1, session), assign(task, 2, session))
    assert codes(verdicts) == [Verdict.CODE_STALE, Verdict.CODE_SESSION_ENDED]
    fresh = await hasty_conductor.session()
    assert codes(await owner.commit(assign(task, 2, fresh))) == [Verdict.CODE_APPLIED]


async def test_a_task_is_given_up_for_lost_engines_only_when_the_last_is_lost_too(
    hasty_conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(hasty_conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    assert codes(await owner.commit(quarantine(task, 1, session))) == [Verdict.CODE_SESSION_ALIVE]
    await asyncio.sleep(0.6)
    assert codes(await owner.commit(quarantine(task, 1, session))) == [Verdict.CODE_APPLIED]
    assert codes(await owner.commit(finish(task, 1, session))) == [Verdict.CODE_STALE]


async def test_a_session_that_lost_its_work_stays_over_even_if_clocks_go_back(
    hasty_conductor: Conductor, settings: ConductorSettings
) -> None:
    owner, graph, session = await claimed(hasty_conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    await asyncio.sleep(0.6)
    assert codes(await owner.commit(lose(task, 1, session))) == [Verdict.CODE_APPLIED]
    engine = dialect.open_engine(settings.database_url, readers=1)
    with engine.begin() as connection:
        connection.execute(update(schema.engine_session).values(lease_until=2**62))
    engine.dispose()
    request = execution.RenewSessionsRequest(
        sessions=[execution.Session(session_id=session, engine_id="engine-1")]
    )
    assert list((await hasty_conductor.execution.RenewSessions(request)).ended) == [session]


async def test_a_task_that_nobody_can_do_ends_with_its_reason(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    failure = operation_pb2.Failure(reason="UNKNOWN_KIND", message="no engine knows it")
    skip = execution.Skip(task_id=graph.tasks[0].id, failure=failure)
    await owner.commit(execution.Change(skip=skip))
    name = clusters_pb2.OwnedName(project_id=PROJECT, id=graph.operation.id)
    answer = await conductor.operations.GetOperation(clusters_pb2.GetOperationRequest(name=name))
    [history] = answer.tasks
    assert (history.task.state, history.task.failure) == (Task.STATE_FAILED, failure)
    assert not history.attempts


async def test_a_node_that_was_about_to_leave_may_stay_but_one_that_is_gone_may_not(
    conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    states = {"c1-worker-0": Instance.STATE_LEAVING, "c1-worker-1": Instance.STATE_DELETED}
    facts = cluster_pb2.Facts()
    for name, state in states.items():
        facts.instances.add(id=name, name=name, node_group="worker", state=state)
    await owner.commit(assign(task, 1, session))
    await owner.commit(defer(task, 1, session, facts=facts))
    asked = facts_pb2.GetPlanFactsRequest(operation_id=graph.operation.id)
    assert (await conductor.facts.GetPlanFacts(asked)).tasks[0].begun

    await owner.commit(assign(task, 2, session))
    staying = cluster_pb2.Facts(staying=[*states, "c1-worker-9"])
    await owner.commit(finish(task, 2, session, facts=staying))

    answer = await conductor.facts.GetPlanFacts(asked)
    found = {each.name: each.state for each in answer.cluster.node_groups[0].instances}
    assert found == states | {"c1-worker-0": Instance.STATE_READY}


async def test_facts_that_can_not_be_read_leave_the_task_as_it_was(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    bad_job = cluster_pb2.Facts(job=b"\xff")
    bad = finish(task, 1, session)
    bad.finish.facts = b"\xff"
    assert codes(await owner.commit(bad)) == [Verdict.CODE_INVALID]
    assert codes(await owner.commit(finish(task, 1, session, bad_job))) == [Verdict.CODE_INVALID]
    assert codes(await owner.commit(finish(task, 1, session))) == [Verdict.CODE_APPLIED]


async def test_an_ended_session_can_not_be_renewed(conductor: Conductor) -> None:
    session = await conductor.session()
    request = execution.RenewSessionsRequest(
        sessions=[execution.Session(session_id=session, engine_id="engine-1", closing=True)]
    )
    assert list((await conductor.execution.RenewSessions(request)).ended) == []
    assert list((await conductor.execution.RenewSessions(request)).ended) == [session]


async def test_a_scheduler_whose_lease_was_taken_over_can_commit_nothing(
    hasty_conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(hasty_conductor)
    heir = await new_owner(hasty_conductor)
    async with asyncio.timeout(5):
        while not (answer := await heir.claim()).graphs:
            await hasty_conductor.execution.RenewScheduler(
                execution.RenewSchedulerRequest(scheduler_id=heir.scheduler_id, address="")
            )
            await asyncio.sleep(0.05)
    assert answer.graphs[0].operation.id == graph.operation.id
    with pytest.raises(Aborted, match="lost its lease"):
        await owner.commit(assign(graph.tasks[0], 1, session))
    with pytest.raises(Aborted, match="lost its lease"):
        await owner.claim()


async def test_a_late_scheduler_goes_on_if_nobody_took_over(hasty_conductor: Conductor) -> None:
    owner, graph, _ = await claimed(hasty_conductor)
    await asyncio.sleep(0.6)
    await hasty_conductor.create("c2")
    assert [each.operation.cluster_name for each in (await owner.claim()).graphs] == ["c2"]
    late = assign(graph.tasks[0], 1, await hasty_conductor.session())
    assert codes(await owner.commit(late)) == [Verdict.CODE_APPLIED]
    listed = await hasty_conductor.execution.ListSchedulers(execution.ListSchedulersRequest())
    assert list(listed.schedulers) == []


async def test_a_released_scheduler_hands_over_at_once_with_the_leases_of_running_work(
    conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(conductor)
    await owner.commit(assign(graph.tasks[0], 1, session))
    await conductor.execution.ReleaseScheduler(
        execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    )
    heir = await new_owner(conductor)
    taken = (await heir.claim()).graphs[0]
    assert taken.tasks[0].state == Task.STATE_ASSIGNED
    assert (taken.sessions[0].session_id, taken.sessions[0].engine_id) == (session, "engine-1")
    assert taken.sessions[0].remaining.ToMilliseconds() > 0


async def test_a_delete_supersedes_a_launch_and_removes_the_cluster_at_its_end(
    conductor: Conductor,
) -> None:
    owner, graph, _ = await claimed(conductor)
    name = clusters_pb2.OwnedName(project_id=PROJECT, id=graph.operation.cluster_id)
    request = clusters_pb2.DeleteClusterRequest(name=name)
    removal = (await conductor.clusters.DeleteCluster(request)).operation
    assert removal.state == Operation.STATE_HELD
    assert (await conductor.clusters.DeleteCluster(request)).operation.id == removal.id
    assert list((await owner.claim()).cancels) == [graph.operation.id]
    await owner.commit(end(graph.operation.id, Operation.STATE_CANCELLED))
    taken = (await owner.claim()).graphs[0]
    assert taken.operation.id == removal.id
    await owner.commit(end(removal.id, Operation.STATE_SUCCEEDED))
    assert (await conductor.read(name.id)).id == ""


async def test_a_failed_launch_keeps_the_cluster_in_error_with_the_reason(
    conductor: Conductor,
) -> None:
    owner, graph, _ = await claimed(conductor)
    change = end(graph.operation.id, Operation.STATE_FAILED)
    change.end_operation.failure.message = "the disk is full: make room"
    await owner.commit(change)
    cluster = await conductor.read(graph.operation.cluster_id)
    assert cluster.state == cluster_pb2.Cluster.STATE_ERROR
    assert cluster.status_description.endswith("the disk is full: make room")


async def test_the_journal_tells_everything_in_order_and_ends_with_the_operation(
    conductor: Conductor,
) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    await owner.commit(finish(task, 1, session), end(graph.operation.id, Operation.STATE_SUCCEEDED))
    request = clusters_pb2.WatchJournalRequest(
        project_id=PROJECT, operation_id=graph.operation.id, until_operation_ends=True
    )
    entries = [
        entry async for page in conductor.operations.WatchJournal(request) for entry in page.entries
    ]
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    told = [
        operation_pb2.JournalEntry.Kind.Name(entry.kind).removeprefix("KIND_") for entry in entries
    ]
    assert told[:3] == ["OPERATION_CREATED", "TASK_CREATED", "CLUSTER_CHANGED"]
    assert told[3:] == [
        "TASK_ASSIGNED",
        "OPERATION_CHANGED",
        "TASK_ENDED",
        "OPERATION_CHANGED",
        "CLUSTER_CHANGED",
    ]


async def test_attempts_are_read_back_from_the_journal(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    await owner.commit(finish(task, 1, session))
    name = clusters_pb2.OwnedName(project_id=PROJECT, id=graph.operation.id)
    request = clusters_pb2.GetOperationRequest(name=name)
    history = (await conductor.operations.GetOperation(request)).tasks[0]
    assert [(each.epoch, each.outcome) for each in history.attempts] == [
        (1, Attempt.OUTCOME_SUCCEEDED)
    ]
