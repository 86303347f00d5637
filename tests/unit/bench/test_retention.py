"""A database full of copies, and what is told of launches in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, text

from bench import finished, retention
from savanna.operation.v1.operation_pb2 import Operation
from savanna_conductor.portions import due
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.migrate import migrate

if TYPE_CHECKING:
    from sqlalchemy import Connection

HOUR = 3600 * 1_000_000


def one_operation(connection: Connection) -> None:
    """Store an operation that has ended, with three tasks and five entries of the journal."""
    row = {
        "id": "o",
        "project_id": "p",
        "cluster_id": "c",
        "job_id": "",
        "goal": Operation.GOAL_LAUNCH,
        "state": Operation.STATE_SUCCEEDED,
        "owner": None,
        "cancel_requested": False,
        "cancel_acknowledged": False,
        "created": 1,
        "ended": 2,
        "body": Operation(id="o").SerializeToString(),
    }
    connection.execute(insert(schema.operation), [row])
    task = dict.fromkeys(schema.task.c.keys(), 0) | {
        "operation_id": "o",
        "session_id": "",
        "polled": False,
        "failure": b"",
        "spec": b"",
        "body": b"",
    }
    connection.execute(
        insert(schema.task),
        [task | {"id": f"t{n}", "key": f"t{n}", "position": n, "state": 3} for n in range(3)],
    )
    line = {"sequence": 5, "project_id": "p", "cluster_id": "c", "operation_id": "o", "body": b""}
    connection.execute(insert(schema.journal), [line])
    connection.execute(text("UPDATE counter SET value = 5"))


def test_copies_have_all_that_an_operation_has(database_url: str) -> None:
    engine = dialect.open_engine(database_url, readers=2)
    migrate(engine)
    with engine.begin() as connection:
        one_operation(connection)
        now = dialect.now(connection)
    assert finished.fill(engine, "o", 9)[0] == 9
    assert finished.hot_tasks(engine) == 12
    finished.age(engine, 2)
    with engine.connect() as connection:
        numbers = connection.execute(select(schema.journal.c.sequence)).scalars()
        assert sorted(numbers) == [5, 10, 15, 20]
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 20
        found = due(connection, now - HOUR)
        assert [(len(each.tasks), len(each.lines)) for each in found] == [(3, 1)] * 4
        assert len({task.id for each in found for task in each.tasks}) == 12
    engine.dispose()


def test_what_was_measured_is_told_beside_what_it_is_compared_with() -> None:
    empty = retention.Cost(2.0, {"conductor": 0.5})
    full = retention.Cost(3.0, {"conductor": 0.6})
    stage = retention.Stage("archived", 42, empty, full)
    found = retention.Found("sqlite", 1000, 10.0, 900, 3.0, [stage])
    told = retention.report([found], "launch-20").splitlines()
    [line] = [each.split() for each in told if each.split()[:1] == ["archived"]]
    assert line[1:] == ["sqlite", "42", "2.00", "3.00", "1.5x", "0.50", "0.60", "1.2x"]
