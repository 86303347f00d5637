"""Many rows in one statement, written for each driver: what SQLAlchemy would do for each row costs
more than the database does.

PostgreSQL takes columns as arrays; SQLite is called for each row, in its own process and in C.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, SmallInteger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Row, Table

# The most special first: SQLAlchemy's small and big integers are integers too.
_ARRAYS = (
    (SmallInteger, "smallint[]"),
    (BigInteger, "bigint[]"),
    (Integer, "integer[]"),
    (Boolean, "boolean[]"),
    (LargeBinary, "bytea[]"),
)


def select_by_ids(
    connection: Connection, table: Table, columns: tuple[str, ...], ids: Iterable[str]
) -> Sequence[Row[Any]]:
    """Read some columns of the rows with these ids, as the driver gives them; those that are not
    there are left out."""
    wanted = list(ids)
    if not wanted:
        return []
    statement = _select(connection.dialect.name, table, columns)
    given = wanted if _has_arrays(connection) else json.dumps(wanted)
    return connection.exec_driver_sql(statement, (given,)).all()


def update_by_ids(
    connection: Connection, table: Table, ids: Sequence[str], values: Mapping[str, Sequence[object]]
) -> None:
    """Write columns of the rows with these ids, a value for each row."""
    statement = _update(connection.dialect.name, table, tuple(values))
    if _has_arrays(connection):
        connection.exec_driver_sql(statement, (*map(list, values.values()), list(ids)))
    else:
        connection.exec_driver_sql(statement, list(zip(*values.values(), ids, strict=True)))


def insert_columns(
    connection: Connection,
    table: Table,
    columns: Mapping[str, Sequence[object]],
    fixed: Mapping[str, object],
) -> None:
    """Store rows given by column; ``fixed`` are values that all have."""
    statement = _insert(connection.dialect.name, table, tuple(columns), tuple(fixed))
    if _has_arrays(connection):
        given = (*fixed.values(), *map(list, columns.values()))
        connection.exec_driver_sql(statement, given)
    else:
        rows = zip(*map(repeat, fixed.values()), *columns.values(), strict=False)
        connection.exec_driver_sql(statement, list(rows))


def _has_arrays(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


@lru_cache
def _select(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    chosen = "= ANY(%s)" if dialect == "postgresql" else "IN (SELECT value FROM json_each(?))"
    return f"SELECT {', '.join(columns)} FROM {table.name} WHERE id {chosen}"


@lru_cache
def _update(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    if dialect != "postgresql":
        assigned = ", ".join(f"{each} = ?" for each in columns)
        return f"UPDATE {table.name} SET {assigned} WHERE id = ?"
    names = (*columns, "id")
    assigned = ", ".join(f"{each} = given.{each}" for each in columns)
    arrays = ", ".join(f"%s::{_array(table.c[each])}" for each in names)
    return (
        f"UPDATE {table.name} SET {assigned} FROM unnest({arrays}) AS given ({', '.join(names)}) "
        f"WHERE {table.name}.id = given.id"
    )


@lru_cache
def _insert(dialect: str, table: Table, columns: tuple[str, ...], fixed: tuple[str, ...]) -> str:
    names = ", ".join((*fixed, *columns))
    if dialect != "postgresql":
        marks = ", ".join(["?"] * (len(fixed) + len(columns)))
        return f"INSERT INTO {table.name} ({names}) VALUES ({marks})"
    values = "".join("%s, " for _ in fixed)
    arrays = ", ".join(f"%s::{_array(table.c[each])}" for each in columns)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {values}given.* FROM unnest({arrays}) AS given"
    )


def _array(column: Column[object]) -> str:
    for kind, name in _ARRAYS:
        if isinstance(column.type, kind):
            return name
    return "text[]"
