"""Many rows in one statement, written for each driver: what SQLAlchemy would do for each row costs
more than the database does.

New rows are given to PostgreSQL as columns, each an array written as one literal; SQLite is called
for each row, in its own process and in C. Rows that change are those that get the same values.
"""

from __future__ import annotations

import json
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, SmallInteger

from savanna_conductor.store import driver, schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Column, Connection, Row, Table

    from savanna_conductor.store.transaction import Transaction


def select_by_ids(
    connection: Connection, table: Table, columns: tuple[str, ...], ids: Iterable[str]
) -> Sequence[Row[Any]]:
    """Read some columns of the rows with these ids; those that are not there are left out."""
    wanted = list(ids)
    if not wanted:
        return []
    statement = _select(connection.dialect.name, table, columns)
    return connection.exec_driver_sql(statement, (listed(connection, wanted),)).all()


def read_by_ids(
    connection: Connection, table: Table, columns: tuple[str, ...], ids: Iterable[str]
) -> Sequence[tuple[Any, ...]]:
    """Read the same, as the driver gives it, for what is read many times a second."""
    wanted = list(ids)
    if not wanted:
        return []
    statement = _select(connection.dialect.name, table, columns)
    return driver.read(connection, statement, (listed(connection, wanted),))


def among(dialect: str) -> str:
    """Give the end of a condition: a column is one of those that ``listed`` gives."""
    return "= ANY(%s::text[])" if dialect == "postgresql" else "IN (SELECT value FROM json_each(?))"


def listed(connection: Connection, values: Iterable[str]) -> str:
    """Give values as the one parameter that ``among`` takes."""
    return _texts(list(values)) if _has_arrays(connection) else json.dumps(list(values))


def mark(dialect: str) -> str:
    """Give what stands for a parameter."""
    return "%s" if dialect == "postgresql" else "?"


def update_by_ids(
    transaction: Transaction, table: Table, ids: Iterable[str], values: Mapping[str, object]
) -> None:
    """Give the rows with these ids these values, with the next message to the database."""
    dialect = transaction.opened.dialect.name
    given = (*values.values(), listed(transaction.opened, ids))
    transaction.later(_update(dialect, table, tuple(values)), given)


def insert_columns(
    transaction: Transaction,
    table: Table,
    columns: Mapping[str, Sequence[object]],
    fixed: Mapping[str, object],
) -> None:
    """Store rows given by column; ``fixed`` are values that all have."""
    statement = _insert(transaction.opened.dialect.name, table, tuple(columns), tuple(fixed))
    if _has_arrays(transaction.opened):
        transaction.later(statement, [*fixed.values(), *_literals(table, columns)])
    else:
        rows = zip(*map(repeat, fixed.values()), *columns.values(), strict=False)
        driver.write_rows(transaction.connection, statement, list(rows))


def _has_arrays(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"


@lru_cache
def _select(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    return f"SELECT {', '.join(columns)} FROM {table.name} WHERE id {among(dialect)}"


@lru_cache
def _update(dialect: str, table: Table, columns: tuple[str, ...]) -> str:
    assigned = ", ".join(f"{each} = {mark(dialect)}" for each in columns)
    return f"UPDATE {table.name} SET {assigned} WHERE id {among(dialect)}"


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
    return next((name for kind, name, _ in _KINDS if isinstance(column.type, kind)), "text[]")


def _literals(table: Table, columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """Write each column as one array literal: the driver and the server would look at each element
    of an array expression."""
    return [_writer(table.c[name])(values) for name, values in columns.items()]


@lru_cache
def _writer(column: Column[object]) -> Callable[[Sequence[Any]], str]:
    return next((write for kind, _, write in _KINDS if isinstance(column.type, kind)), _texts)


def _numbers(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, map(int, values))) + "}"


def _truths(values: Sequence[bool]) -> str:
    return "{" + ",".join("t" if each else "f" for each in values) + "}"


def _texts(values: Sequence[str]) -> str:
    # Quotes and backslashes are escaped inside the quotes of an element; PostgreSQL has no NUL.
    quoted = (schema.storable(each.replace("\\", "\\\\").replace('"', '\\"')) for each in values)
    return '{"' + '","'.join(quoted) + '"}' if values else "{}"


def _bytes(values: Sequence[bytes]) -> str:
    return '{"' + '","'.join("\\\\x" + each.hex() for each in values) + '"}' if values else "{}"


# The most special first: SQLAlchemy's small and big integers are integers too.
_KINDS: tuple[tuple[type, str, Callable[[Sequence[Any]], str]], ...] = (
    (SmallInteger, "smallint[]", _numbers),
    (BigInteger, "bigint[]", _numbers),
    (Integer, "integer[]", _numbers),
    (Boolean, "boolean[]", _truths),
    (LargeBinary, "bytea[]", _bytes),
)
