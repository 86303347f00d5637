"""Statements given to the driver itself, for what happens many times a second: what SQLAlchemy does
around each of them costs more than the statement does.

Failures are SQLAlchemy's all the same.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection


def read(
    connection: Connection, statement: str, given: Sequence[object] = ()
) -> Sequence[tuple[Any, ...]]:
    """Run a statement; gives its rows as the driver does."""
    with _cursor(connection, statement) as cursor:
        cursor.execute(statement, tuple(given))
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        return rows


def write(connection: Connection, statement: str, given: Sequence[object] = ()) -> None:
    """Run a statement, or several, that give nothing."""
    with _cursor(connection, statement) as cursor:
        cursor.execute(statement, tuple(given))


def write_rows(connection: Connection, statement: str, rows: Sequence[Sequence[object]]) -> None:
    """Run a statement for each row."""
    with _cursor(connection, statement) as cursor:
        cursor.executemany(statement, rows)


@contextmanager
def _cursor(connection: Connection, statement: str) -> Iterator[Any]:
    cursor = connection.connection.cursor()
    driver_error = connection.dialect.loaded_dbapi.Error
    try:
        yield cursor
    except driver_error as error:
        lost = connection.dialect.is_disconnect(error, connection.connection, cursor)
        if lost:
            connection.invalidate(error)
        raise DBAPIError.instance(
            statement,
            None,
            error,
            driver_error,
            connection_invalidated=lost,
            dialect=connection.dialect,
        ) from error
    finally:
        cursor.close()
