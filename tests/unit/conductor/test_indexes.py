"""No question of a launch looks through all there is: each finds its rows by an index."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, event, text

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import facts_service_pb2
from tests.unit.conductor.conftest import PROJECT, Conductor, new_owner
from tests.unit.conductor.test_journal import history, told
from tests.unit.conductor.test_retention import Keeper, finished, keeping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from savanna_conductor.settings import ConductorSettings

GROWING = {"operation", "task", "journal", "task_archive", "journal_archive", "job", "instance"}
"""Tables with a row for everything that ever was."""


Asked = dict[str, Any]
"""Statements with the values of one time that they were asked."""


@pytest.fixture
def keeper(settings: ConductorSettings) -> Iterator[Keeper]:
    with keeping(settings) as it:
        yield it


@contextmanager
def noting() -> Iterator[Asked]:
    """Note what is asked of any database."""
    asked: Asked = {}

    def note(*given: Any) -> None:
        _, _, statement, values, _, many = given
        if statement.split(None, 1)[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
            asked[statement] = values[0] if many else values

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def scans(connection: Connection, statement: str, values: Any) -> list[str]:
    """Give the growing tables that a statement looks through from one end to the other."""
    if connection.dialect.name == "postgresql":
        plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", values).scalar_one()
        found = plan if isinstance(plan, list) else json.loads(plan)
        return list(_unguided(found[0]["Plan"]))
    steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
    words = [row.detail.split() for row in steps]
    return [each[1] for each in words if each[0] == "SCAN" and each[1] in GROWING]


def _unguided(node: Mapping[str, Any]) -> Iterator[str]:
    """Give the tables of a plan of PostgreSQL that are read without a condition on an index."""
    table = node.get("Relation Name", "")
    reads_all = node["Node Type"] in ("Seq Scan", "Index Scan", "Index Only Scan")
    if table in GROWING and reads_all and "Index Cond" not in node:
        yield table
    for each in node.get("Plans", ()):
        yield from _unguided(each)


async def launched_and_watched(conductor: Conductor) -> None:
    """Ask everything that schedulers, engines and users ask during a launch and after it."""
    owner = await new_owner(conductor)
    every = pb.WatchJournalRequest(project_id=PROJECT)
    stream = conductor.operations.WatchJournal(every)
    done = await finished(conductor, owner)
    async with asyncio.timeout(5):
        await stream.read()
    stream.cancel()
    request = facts_service_pb2.GetPlanFactsRequest(operation_id=done.id)
    await conductor.facts.GetPlanFacts(request)
    await history(conductor, done.id)
    await told(conductor, done.id)
    await conductor.read(done.cluster_id)
    one = pb.WatchJournalRequest(project_id=PROJECT, cluster_id=done.cluster_id)
    stream = conductor.operations.WatchJournal(one)
    async with asyncio.timeout(5):
        await stream.read()
    stream.cancel()
    await conductor.clusters.DeleteCluster(
        pb.DeleteClusterRequest(name=pb.OwnedName(project_id=PROJECT, id=done.cluster_id))
    )
    await owner.claim()


async def test_what_is_stored_later_comes_later_in_an_index(conductor: Conductor) -> None:
    """Rows of chance places would each cost a page of a large index."""
    made = [await conductor.create(f"c{number}") for number in range(8)]
    graphs = (await (await new_owner(conductor)).claim()).graphs
    tasks = {each.operation.id: each.tasks[0].id for each in graphs}
    operations = [each.operation.id for each in made]
    found = [tasks[each] for each in operations]
    assert (operations, found) == (sorted(operations), sorted(found))
    assert {uuid.UUID(each).version for each in (*operations, *found)} == {7}
    assert {uuid.UUID(each).variant for each in (*operations, *found)} == {uuid.RFC_4122}


async def test_no_question_of_a_launch_looks_through_all_there_is(
    conductor: Conductor, keeper: Keeper
) -> None:
    with noting() as asked:
        await launched_and_watched(conductor)
        await keeper.keep(hours=101)
    asked = {each: values for each, values in asked.items() if "pg_advisory" not in each}
    assert len(asked) > 30

    def check(connection: Connection) -> dict[str, list[str]]:
        if connection.dialect.name == "postgresql":
            # Of few rows it would always read all; what does so now knows no other way.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        assert scans(connection, "SELECT id FROM task WHERE epoch = 7", ()) == ["task"]
        found = {each: scans(connection, each, values) for each, values in asked.items()}
        return {each: tables for each, tables in found.items() if tables}

    assert await keeper.store.read(check) == {}
