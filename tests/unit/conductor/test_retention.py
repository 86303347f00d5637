"""Finished operations: archived, still shown, in the end removed; and nothing of what is open."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.operation.v1 import operation_pb2
from savanna_conductor import portions, retention
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import Store
from savanna_kit.errors import FailedPrecondition
from tests.unit.conductor.changes import assign, codes, defer, end, finish, skip, spawn
from tests.unit.conductor.conftest import PROJECT, Conductor, Owner, new_owner
from tests.unit.conductor.test_journal import (
    Replay,
    failing,
    history,
    name_of,
    sequences,
    told,
    watched,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from savanna_conductor.settings import ConductorSettings
    from savanna_conductor.store.transaction import Transaction

Attempt = operation_pb2.Attempt
Operation = operation_pb2.Operation
Task = operation_pb2.Task

HOUR = 3600 * 1_000_000
RULES = retention.Rules(hot=HOUR, keep=100 * HOUR)


@dataclass
class Keeper:
    """The upkeep of a conductor, with a clock that is some hours ahead."""

    store: Store
    hours: float = 0.0

    def clock(self, connection: Connection) -> int:
        return dialect.now(connection) + int(self.hours * HOUR)

    async def batch(self) -> bool:
        return await retention.batch(self.store, RULES, clock=self.clock)

    async def keep(self, *, hours: float) -> None:
        """Do all that is to be done in so many hours."""
        self.hours = hours
        while await self.batch():
            pass

    async def rows(self, operation_id: str) -> list[int]:
        """Count what is stored of an operation: tasks and journal, and rows of both archives."""
        tables = (schema.task, schema.journal, schema.task_archive, schema.journal_archive)
        counts = [
            select(func.count()).where(table.c.operation_id == operation_id) for table in tables
        ]
        return await self.store.read(lambda c: [c.execute(each).scalar_one() for each in counts])


@contextmanager
def keeping(settings: ConductorSettings) -> Iterator[Keeper]:
    store = Store(dialect.open_engine(settings.database_url, readers=2), readers=2)
    yield Keeper(store)
    store.close()


@pytest.fixture
def keeper(settings: ConductorSettings) -> Iterator[Keeper]:
    with keeping(settings) as it:
        yield it


@pytest.fixture
def other_keeper(settings: ConductorSettings) -> Iterator[Keeper]:
    with keeping(settings) as it:
        yield it


async def finished(
    conductor: Conductor, owner: Owner, *, cluster: str = "c1", tasks: int = 4
) -> Operation:
    """Launch a cluster: the first task fails once, the last is skipped."""
    created = await conductor.create(cluster)
    graph = (await owner.claim()).graphs[0]
    session, plan = await conductor.session(), graph.tasks[0]
    await owner.commit(assign(plan, 1, session))
    # Stored in an order that is not that of the keys.
    specs = [
        operation_pb2.TaskSpec(key=f"t{n:04}", title=f"Step {n % 2}", body=b"secret")
        for n in reversed(range(tasks))
    ]
    answer = await owner.commit(finish(plan, 1, session), spawn(graph.operation.id, *specs))
    first, *rest, last = answer[1].spawned
    failed = defer(first, 1, session, Attempt.OUTCOME_FAILED)
    failed.defer.failure.message = "no"
    await owner.commit(*(assign(each, 1, session) for each in (first, *rest)))
    await owner.commit(failed, *(finish(each, 1, session) for each in rest), skip(last))
    await owner.commit(assign(first, 2, session))
    verdicts = await owner.commit(
        finish(first, 2, session), end(graph.operation.id, Operation.STATE_SUCCEEDED)
    )
    assert len(set(codes(verdicts))) == 1
    return created.operation


async def progress(conductor: Conductor, cluster_id: str) -> pb.GetProgressResponse:
    name = pb.OwnedName(project_id=PROJECT, id=cluster_id)
    return await conductor.clusters.GetProgress(pb.GetProgressRequest(name=name))


def undated(answer: pb.GetOperationResponse) -> pb.GetOperationResponse:
    """Give an answer without what tells that it came from the archive."""
    answer.operation.ClearField("archive_time")
    return answer


async def test_what_ended_an_hour_ago_is_archived_and_shown_as_before(
    conductor: Conductor, keeper: Keeper
) -> None:
    done = await finished(conductor, await new_owner(conductor))
    before = await history(conductor, done.id)
    entries = await told(conductor, done.id)
    steps = await progress(conductor, done.cluster_id)
    await keeper.keep(hours=0.9)
    assert (await keeper.rows(done.id))[2:] == [0, 0]
    await keeper.keep(hours=1.1)
    assert await keeper.rows(done.id) == [0, 0, 1, 1]
    after = await history(conductor, done.id)
    assert after.operation.HasField("archive_time")
    assert not after.operation.HasField("purge_time")
    assert undated(after) == before
    assert await progress(conductor, done.cluster_id) == steps
    assert await told(conductor, done.id) == entries
    listed = await conductor.operations.ListOperations(pb.ListOperationsRequest(project_id=PROJECT))
    assert listed.operations[0].tasks == before.operation.tasks
    assert (before.operation.tasks.total, before.operation.tasks.skipped) == (5, 1)


async def test_an_archived_journal_is_followed_from_any_number_and_replays_to_the_tasks(
    conductor: Conductor, keeper: Keeper
) -> None:
    done = await finished(conductor, await new_owner(conductor))
    entries = await told(conductor, done.id)
    await keeper.keep(hours=2)
    for position in (3, 7, entries[-1].sequence):
        rest = await told(conductor, done.id, after=position)
        assert rest == [each for each in entries if each.sequence > position]
    replay, answer = Replay(await told(conductor, done.id)), await history(conductor, done.id)
    assert replay.operations[done.id] == "SUCCEEDED"
    assert replay.tasks == {
        each.task.id: (name_of(Task.State.Name(each.task.state)), each.task.epoch)
        for each in answer.tasks
    }


async def test_an_open_operation_is_never_touched_however_old(
    conductor: Conductor, keeper: Keeper
) -> None:
    owner = await new_owner(conductor)
    created = await conductor.create()
    graph, session = (await owner.claim()).graphs[0], await conductor.session()
    await owner.commit(assign(graph.tasks[0], 1, session))
    before = await history(conductor, created.operation.id)
    await keeper.keep(hours=10_000)
    assert (await keeper.rows(created.operation.id))[2:] == [0, 0]
    assert await history(conductor, created.operation.id) == before
    assert codes(await owner.commit(finish(graph.tasks[0], 1, session))) == [1]


async def test_after_the_time_it_is_kept_only_the_operation_with_its_counts_is_left(
    conductor: Conductor, keeper: Keeper
) -> None:
    done = await finished(conductor, await new_owner(conductor))
    before = await history(conductor, done.id)
    last = (await told(conductor, done.id))[-1].sequence
    await keeper.keep(hours=101)
    assert await keeper.rows(done.id) == [0, 0, 0, 0]
    after = await history(conductor, done.id)
    assert after.operation.HasField("purge_time")
    assert after.operation.tasks == before.operation.tasks
    assert list(after.tasks) == []
    assert await told(conductor, done.id) == []
    assert await told(conductor, done.id, after=last) == []
    with pytest.raises(FailedPrecondition, match="no longer in the journal: read it anew"):
        await failing(
            conductor,
            pb.WatchJournalRequest(project_id=PROJECT, operation_id=done.id, after_sequence=3),
        )


@pytest.mark.parametrize("of_cluster", [False, True])
async def test_a_watch_that_would_have_holes_is_told_where_it_may_go_on(
    conductor: Conductor, keeper: Keeper, of_cluster: bool
) -> None:
    owner = await new_owner(conductor)
    done = await finished(conductor, owner)
    last = (await told(conductor, done.id))[-1].sequence
    await keeper.keep(hours=2)
    request = pb.WatchJournalRequest(project_id=PROJECT, after_sequence=last - 1)
    request.cluster_id = done.cluster_id if of_cluster else ""
    with pytest.raises(FailedPrecondition, match="read its operations anew") as caught:
        await failing(conductor, request)
    assert caught.value.reason == "JOURNAL_ARCHIVED"
    position = int(caught.value.metadata["after_sequence"])
    assert position == last
    await conductor.create("c2")
    assert sequences(await watched(conductor, until=last + 3, after=position)) == [
        last + 1,
        last + 2,
        last + 3,
    ]
    assert sequences(await watched(conductor, until=last + 3)) == [last + 1, last + 2, last + 3]


async def test_a_watch_of_what_is_not_archived_goes_on_however_long_it_was_away(
    conductor: Conductor, keeper: Keeper
) -> None:
    """Its last number may be old because nothing happened to what it watches."""
    quiet = await conductor.create("quiet")
    first = pb.WatchJournalRequest(
        project_id=PROJECT, cluster_id=quiet.cluster.id, after_sequence=1
    )
    owner = await new_owner(conductor)
    await owner.claim()
    await finished(conductor, owner, cluster="busy")
    await keeper.keep(hours=2)
    page = await conductor.operations.WatchJournal(first).read()
    assert isinstance(page, pb.WatchJournalResponse)
    assert sequences(page.entries) == [2, 3]


async def test_two_conductors_that_archive_at_once_move_everything_once(
    conductor: Conductor, keeper: Keeper, other_keeper: Keeper
) -> None:
    owner = await new_owner(conductor)
    done = [await finished(conductor, owner, cluster=f"c{number}") for number in range(3)]
    before = [await history(conductor, each.id) for each in done]
    entries = [await told(conductor, each.id) for each in done]
    await asyncio.gather(keeper.keep(hours=2), other_keeper.keep(hours=2))
    assert [undated(await history(conductor, each.id)) for each in done] == before
    assert [await told(conductor, each.id) for each in done] == entries


async def test_what_was_packed_too_late_is_left(conductor: Conductor, keeper: Keeper) -> None:
    done = await finished(conductor, await new_owner(conductor))
    packed = portions.pack(await keeper.store.read(lambda c: portions.due(c, dialect.now(c))))
    await keeper.keep(hours=2)
    rows = await keeper.rows(done.id)
    assert await keeper.store.write(lambda tx: retention.move(tx, packed)) == 0
    assert await keeper.rows(done.id) == rows
    expired = await keeper.store.read(lambda c: retention.expired(c, dialect.now(c)))
    await keeper.keep(hours=101)
    assert await keeper.store.write(lambda tx: retention.purge(tx, expired)) == 0


class Killed(Exception):
    """What a batch is stopped by."""


async def test_a_large_operation_is_moved_part_by_part_and_whole_at_every_moment(
    conductor: Conductor, keeper: Keeper
) -> None:
    """Also when a conductor is killed in the middle of a batch: the next one goes on."""
    done = await finished(conductor, await new_owner(conductor), tasks=portions.TASKS + 200)
    before = await history(conductor, done.id)
    entries = await told(conductor, done.id)
    keeper.hours = 2

    def dies(transaction: Transaction) -> None:
        due = portions.due(transaction.connection, transaction.now + 2 * HOUR)
        assert retention.move(transaction, portions.pack(due)) == 1
        raise Killed

    for left in (portions.TASKS + 201, 201):
        with pytest.raises(Killed):
            await keeper.store.write(dies)
        assert (await keeper.rows(done.id))[0] == left
        assert undated(await history(conductor, done.id)) == before
        assert await told(conductor, done.id, after=5) == entries[5:]
        assert await keeper.batch()
    assert (await keeper.rows(done.id))[:2] == [0, 0]
    assert undated(await history(conductor, done.id)) == before
    assert await told(conductor, done.id, after=5) == entries[5:]
    assert not await keeper.batch()
