"""The journal: in order, without holes, and enough to know what was done."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import grpc
import pytest

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.operation.v1 import operation_pb2
from savanna_kit.errors import NotFound
from savanna_kit.status import from_rpc_error
from tests.unit.conductor.changes import (
    assign,
    claimed,
    codes,
    defer,
    end,
    finish,
    skip,
    spawn,
)
from tests.unit.conductor.conftest import PROJECT, Conductor, new_owner

if TYPE_CHECKING:
    from collections.abc import Iterable

Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Operation = operation_pb2.Operation
Task = operation_pb2.Task


async def watched(
    conductor: Conductor, *, until: int = 0, project_id: str = PROJECT, after: int = 0
) -> list[Entry]:
    """Follow a project's journal from a position until an entry."""
    request = pb.WatchJournalRequest(project_id=project_id, after_sequence=after)
    found: list[Entry] = []
    call = conductor.operations.WatchJournal(request)
    async with asyncio.timeout(10):
        while not found or found[-1].sequence < until:
            page = await call.read()
            assert isinstance(page, pb.WatchJournalResponse)
            found.extend(page.entries)
    call.cancel()
    return found


async def told(conductor: Conductor, operation_id: str, after: int = 0) -> list[Entry]:
    """Read what was told of an operation until it ended."""
    request = pb.WatchJournalRequest(
        project_id=PROJECT,
        operation_id=operation_id,
        after_sequence=after,
        until_operation_ends=True,
    )
    async with asyncio.timeout(5):
        return [
            entry
            async for page in conductor.operations.WatchJournal(request)
            for entry in page.entries
        ]


async def history(conductor: Conductor, operation_id: str) -> pb.GetOperationResponse:
    name = pb.OwnedName(project_id=PROJECT, id=operation_id)
    return await conductor.operations.GetOperation(pb.GetOperationRequest(name=name))


def sequences(entries: Iterable[Entry]) -> list[int]:
    return [entry.sequence for entry in entries]


async def test_a_watch_goes_on_where_it_was_on_any_conductor(
    conductor: Conductor, other_conductor: Conductor
) -> None:
    await conductor.create("a")
    first = await watched(conductor, until=3)
    await conductor.create("b")
    rest = await watched(other_conductor, until=6, after=2)
    assert sequences(first) == [1, 2, 3]
    assert sequences(rest) == [3, 4, 5, 6]
    assert rest[0] == first[2]


async def test_a_watch_sees_what_another_conductor_writes_without_holes(
    conductor: Conductor, other_conductor: Conductor
) -> None:
    each_writes, entries_of_one = 12, 3
    last = 2 * each_writes * entries_of_one
    watchers = [
        asyncio.create_task(watched(each, until=last)) for each in (conductor, other_conductor)
    ]
    await asyncio.gather(
        *(
            writer.create(f"{prefix}{number}")
            for number in range(each_writes)
            for prefix, writer in (("a", conductor), ("b", other_conductor))
        )
    )
    async with asyncio.timeout(10):
        seen = await asyncio.gather(*watchers)
    assert [sequences(each) for each in seen] == [list(range(1, last + 1))] * 2
    assert seen[0] == seen[1]


async def test_a_watch_shows_one_project_and_if_wished_one_cluster(conductor: Conductor) -> None:
    first, second = await conductor.create("a"), await conductor.create("b")
    request = pb.WatchJournalRequest(project_id=PROJECT, cluster_id=second.cluster.id)
    call = conductor.operations.WatchJournal(request)
    page = await call.read()
    call.cancel()
    assert isinstance(page, pb.WatchJournalResponse)
    assert {entry.operation_id for entry in page.entries} == {second.operation.id}
    for project_id, operation_id in (("p2", first.operation.id), (PROJECT, "none")):
        request = pb.WatchJournalRequest(project_id=project_id, operation_id=operation_id)
        with pytest.raises(NotFound):
            await failing(conductor, request)


async def failing(conductor: Conductor, request: pb.WatchJournalRequest) -> None:
    try:
        await conductor.operations.WatchJournal(request).read()
    except grpc.aio.AioRpcError as failure:
        raise from_rpc_error(failure) from failure


async def test_a_watch_of_an_operation_that_has_ended_ends_wherever_it_begins(
    conductor: Conductor,
) -> None:
    owner, graph, _ = await claimed(conductor)
    await owner.commit(end(graph.operation.id, Operation.STATE_SUCCEEDED))
    whole = await told(conductor, graph.operation.id)
    assert sequences(whole) == list(range(1, len(whole) + 1))
    assert await told(conductor, graph.operation.id, after=whole[-1].sequence) == []


async def test_polls_that_change_nothing_are_one_attempt_to_readers(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    for epoch in range(1, 6):
        await owner.commit(assign(task, epoch, session))
        await owner.commit(defer(task, epoch, session))
    await owner.commit(assign(task, 6, session))
    await owner.commit(finish(task, 6, session), end(graph.operation.id, Operation.STATE_SUCCEEDED))
    kinds = Counter(entry.kind for entry in await told(conductor, graph.operation.id))
    assert kinds[Entry.KIND_TASK_ASSIGNED] == 1
    assert kinds[Entry.KIND_TASK_RETRIED] == 0
    attempts = (await history(conductor, graph.operation.id)).tasks[0].attempts
    assert [(each.epoch, each.outcome) for each in attempts] == [(6, Attempt.OUTCOME_SUCCEEDED)]
    assert attempts[0].start_time.ToNanoseconds() < attempts[0].end_time.ToNanoseconds()


async def test_a_poll_that_runs_is_shown_where_it_runs(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    await owner.commit(assign(task, 1, session))
    await owner.commit(defer(task, 1, session))
    await owner.commit(assign(task, 2, await conductor.session("engine-2")))
    attempts = (await history(conductor, graph.operation.id)).tasks[0].attempts
    assert [(each.epoch, each.engine_id) for each in attempts] == [(2, "engine-2")]
    assert not attempts[0].HasField("end_time")


async def test_each_try_is_an_attempt_with_engine_times_and_failure(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    task = graph.tasks[0]
    for epoch in (1, 2):
        await owner.commit(assign(task, epoch, session))
        change = defer(task, epoch, session, Attempt.OUTCOME_FAILED)
        change.defer.failure.message = f"try {epoch}"
        await owner.commit(change)
    await owner.commit(assign(task, 3, session))
    shown = (await history(conductor, graph.operation.id)).tasks[0]
    assert shown.task.failed_attempts == 2
    assert shown.task.spec.body == b""
    assert [each.failure.message for each in shown.attempts] == ["try 1", "try 2", ""]
    assert {each.engine_id for each in shown.attempts} == {"engine-1"}
    assert [each.HasField("end_time") for each in shown.attempts] == [True, True, False]


async def test_progress_groups_tasks_by_title_in_their_order(conductor: Conductor) -> None:
    owner, graph, _ = await claimed(conductor)
    specs = [
        operation_pb2.TaskSpec(key=f"{kind}/{n}", title=title, instance=f"w{n}", body=b"secret")
        for n in range(2)
        for kind, title in (("create", "Create servers"), ("start", "Start workers"))
    ]
    await owner.commit(spawn(graph.operation.id, *specs))
    name = pb.OwnedName(project_id=PROJECT, id=graph.operation.cluster_id)
    steps = (await conductor.clusters.GetProgress(pb.GetProgressRequest(name=name))).steps
    assert [(each.title, len(each.tasks)) for each in steps] == [
        ("Plan", 1),
        ("Create servers", 2),
        ("Start workers", 2),
    ]
    assert [each.spec.instance for each in steps[1].tasks] == ["w0", "w1"]
    assert not any(task.spec.body for each in steps for task in each.tasks)
    again = (await conductor.clusters.GetProgress(pb.GetProgressRequest(name=name))).steps
    assert [each.id for each in again] == [each.id for each in steps]


def name_of(state: str) -> str:
    """Give a state as the journal calls it."""
    return state.removeprefix("STATE_")


class Replay:
    """What a reader of the journal knows: states by what was told, in order."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.operations: dict[str, str] = {}
        self.tasks: dict[str, tuple[str, int]] = {}
        for entry in entries:
            if entry.kind in (Entry.KIND_OPERATION_CREATED, Entry.KIND_OPERATION_CHANGED):
                self.operations[entry.operation_id] = entry.state
            elif entry.task_id:
                epoch = entry.epoch or self.tasks.get(entry.task_id, ("", 0))[1]
                self.tasks[entry.task_id] = (entry.state, epoch)


async def test_replaying_the_journal_gives_the_stored_states(conductor: Conductor) -> None:
    owner, graph, session = await claimed(conductor)
    operation_id, plan = graph.operation.id, graph.tasks[0]
    specs = [operation_pb2.TaskSpec(key=f"t{number}") for number in range(8)]
    await owner.commit(assign(plan, 1, session))
    spawned = (await owner.commit(finish(plan, 1, session), spawn(operation_id, *specs)))[1]
    tasks = list(spawned.spawned)
    await owner.commit(*(assign(each, 1, session) for each in tasks[:6]))
    lost = defer(tasks[2], 1, session, Attempt.OUTCOME_CANCELLED)
    failed = finish(tasks[1], 1, session)
    failed.finish.state, failed.finish.outcome = Task.STATE_FAILED, Attempt.OUTCOME_FAILED
    verdicts = await owner.commit(finish(tasks[0], 1, session), failed, lost, skip(tasks[7]))
    assert len(set(codes(verdicts))) == 1
    await owner.commit(assign(tasks[2], 2, session))

    async def check(reader: Replay) -> None:
        answer = await history(conductor, operation_id)
        state = Operation.State.Name(answer.operation.state)
        assert reader.operations[operation_id] == name_of(state)
        assert reader.tasks == {
            each.task.id: (name_of(Task.State.Name(each.task.state)), each.task.epoch)
            for each in answer.tasks
        }

    seen = await watched(conductor, until=25)
    await check(Replay(seen))
    await owner.commit(end(operation_id, Operation.STATE_FAILED))
    await check(Replay(await told(conductor, operation_id)))


async def test_operations_are_listed_newest_first_with_counts(conductor: Conductor) -> None:
    for number in range(3):
        await conductor.create(f"c{number}")
    owner = await new_owner(conductor)
    graphs = (await owner.claim()).graphs
    await owner.commit(end(graphs[0].operation.id, Operation.STATE_FAILED))
    request = pb.ListOperationsRequest(project_id=PROJECT, page_size=2)
    first = await conductor.operations.ListOperations(request)
    request.page_token = first.next_page_token
    second = await conductor.operations.ListOperations(request)
    found = [*first.operations, *second.operations]
    assert [each.cluster_name for each in found] == ["c2", "c1", "c0"]
    assert (found[2].tasks.total, found[2].tasks.skipped) == (1, 1)
