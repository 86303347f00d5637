"""A database full of what is finished: one operation that really ran, copied again and again."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, text

from savanna_conductor.store import schema

if TYPE_CHECKING:
    from sqlalchemy import Table

_AT_ONCE = 20
_NEW_ID = {
    # They begin with something that grows, as those of the conductor do.
    "postgresql": "to_char(:shift, 'FM0000000000') || '-' || gen_random_uuid()::text",
    "sqlite": "printf('%010d-', :shift) || lower(hex(randomblob(16)))",
}
MARK = "copy-"
"""How the ids of copied operations begin."""


def fill(database: Engine, operation_id: str, tasks: int) -> tuple[int, float]:
    """Copy a finished operation until there are so many finished tasks, as if all of them had ended
    just now; gives how many there are, and the seconds it took."""
    begun = time.perf_counter()
    with database.connect() as connection:
        each = _number(
            connection, "SELECT count(*) FROM task WHERE operation_id = :of", operation_id
        )
        step = _number(connection, "SELECT value FROM counter WHERE name = 'journal'", "")
    copies = max(1, tasks // each)
    for first in range(0, copies, _AT_ONCE):
        numbers = range(first + 1, min(copies, first + _AT_ONCE) + 1)
        with database.begin() as connection:
            for number in numbers:
                _copy(connection, operation_id, number * step)
            # Copied entries follow all there are: the journal stays in order.
            connection.execute(
                text("UPDATE counter SET value = value + :more WHERE name = 'journal'"),
                {"more": step * len(numbers)},
            )
    _settle(database)
    return copies * each, time.perf_counter() - begun


def age(database: Engine, hours: int) -> None:
    """Let the copies have ended some hours earlier."""
    with database.begin() as connection:
        connection.execute(
            text(f"UPDATE operation SET ended = ended - :more WHERE id LIKE '{MARK}%'"),
            {"more": hours * 3600 * 1_000_000},
        )


def hot_tasks(database: Engine) -> int:
    """Count the tasks that are not in the archive."""
    with database.connect() as connection:
        return _number(connection, "SELECT count(*) FROM task", "")


def _number(connection: Connection, query: str, operation_id: str) -> int:
    given = {"of": operation_id} if operation_id else {}
    return int(connection.execute(text(query), given).scalar_one())


def _copy(connection: Connection, operation_id: str, shift: int) -> None:
    ids = {"id": f"{MARK}{uuid.uuid4()}"[:64], "cluster_id": str(uuid.uuid4())}
    given = {
        **ids,
        "operation_id": ids["id"],
        "of": operation_id,
        "shift": shift,
        "ended": time.time_ns() // 1000,
    }
    _insert(connection, schema.operation, ("id", "cluster_id", "ended"), given, "id")
    _insert(connection, schema.task, ("operation_id",), given, "operation_id")
    _insert(connection, schema.journal, ("operation_id", "cluster_id"), given, "operation_id")


def _insert(
    connection: Connection,
    table: Table,
    replaced: tuple[str, ...],
    given: dict[str, object],
    chosen_by: str,
) -> None:
    names = [each.name for each in table.c]
    taken = {name: name for name in names} | {name: f":{name}" for name in replaced}
    if table is schema.task:
        taken["id"] = _NEW_ID[connection.dialect.name]
    if table is schema.journal:
        taken["sequence"] = "sequence + :shift"
    columns, values = ", ".join(names), ", ".join(taken[name] for name in names)
    query = f"INSERT INTO {table.name} ({columns}) SELECT {values} FROM {table.name}"
    connection.execute(text(f"{query} WHERE {chosen_by} = :of"), given)


def _settle(database: Engine) -> None:
    """Do what a database does by itself some time after it was filled."""
    with database.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if database.dialect.name == "postgresql":
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))
        else:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
