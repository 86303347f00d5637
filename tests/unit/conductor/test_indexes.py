"""No question of a launch looks through all there is: each finds its rows by an index."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import psycopg2.extensions  # type: ignore[import-untyped]  # it has no types
import pytest
from sqlalchemy import event, text
from sqlalchemy.pool import Pool

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.conductor.v1 import execution_service_pb2 as execution
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

_ONE = re.compile(r"(?:[^';]|'[^']*')+")
"""One of several statements that are sent together."""

_VALUES = re.compile(r"'[^']*'|\b\d+\b|x'[0-9a-f]*'", re.IGNORECASE)


class Asked:
    """What is asked of databases from now on, as it reaches them, once of each kind."""

    def __init__(self) -> None:
        self.statements: dict[str, str] = {}

    def forget(self) -> None:
        self.statements.clear()

    def note(self, statement: str) -> None:
        for each in map(str.strip, _ONE.findall(statement)):
            if each.partition(" ")[0] in ("SELECT", "UPDATE", "DELETE", "WITH"):
                self.statements[_VALUES.sub("?", each)] = each

    def connected(self, connection: Any, record: object) -> None:
        """Listen to a new connection: the driver's own, for some statements go to it directly."""
        del record
        if isinstance(connection, sqlite3.Connection):
            connection.set_trace_callback(self.note)
            return
        note = self.note

        class Cursor(psycopg2.extensions.cursor):
            def execute(self, query: Any, values: Any = None) -> None:
                note(self.mogrify(query, values).decode())
                super().execute(query, values)

        connection.cursor_factory = Cursor


@pytest.fixture
def asked() -> Iterator[Asked]:
    it = Asked()
    event.listen(Pool, "connect", it.connected)
    yield it
    event.remove(Pool, "connect", it.connected)


@pytest.fixture
def keeper(settings: ConductorSettings) -> Iterator[Keeper]:
    with keeping(settings) as it:
        yield it


def scans(connection: Connection, statement: str) -> list[str]:
    """Give the growing tables that a statement looks through from one end to the other."""
    if connection.dialect.name == "postgresql":
        found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}").scalar_one()
        return list(_unguided(found[0]["Plan"]))
    steps = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
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
    gone = execution.ReleaseSchedulerRequest(scheduler_id=owner.scheduler_id)
    await conductor.execution.ReleaseScheduler(gone)


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
    asked: Asked, conductor: Conductor, keeper: Keeper
) -> None:
    asked.forget()
    await launched_and_watched(conductor)
    await keeper.keep(hours=101)
    statements = [each for each in asked.statements.values() if "pg_advisory" not in each]
    assert len(statements) > 30

    def check(connection: Connection) -> dict[str, list[str]]:
        if connection.dialect.name == "postgresql":
            # Of few rows it would always read all; what does so now knows no other way.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        assert scans(connection, "SELECT id FROM task WHERE epoch = 7") == ["task"]
        found = {each: scans(connection, each) for each in statements}
        return {each: tables for each, tables in found.items() if tables}

    assert await keeper.store.read(check) == {}
