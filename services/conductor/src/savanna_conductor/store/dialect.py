"""Every difference between SQLite and PostgreSQL, and nothing else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.pool import QueuePool

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

_BUSY_MILLISECONDS = 30_000


def open_engine(url: str, *, readers: int) -> Engine:
    """Open a database.

    On SQLite: write-ahead log, every commit on disk, foreign keys, explicit transactions.
    """
    if not url.startswith("sqlite"):
        return create_engine(url, pool_size=readers + 1, max_overflow=0, pool_pre_ping=True)
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=readers + 1,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": _BUSY_MILLISECONDS / 1000},
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: object) -> None:  # noqa: ANN401 - the driver's own connection
        del record
        # The driver would begin transactions by its own rules: they are begun by hand below.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            f"busy_timeout={_BUSY_MILLISECONDS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("savanna_writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def now(connection: Connection) -> int:
    """Give the time of the database in microseconds.

    SQLite lives on this machine and has this machine's clock.
    """
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1000
    asked = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    return int(connection.execute(asked).scalar_one())


def lock_rows(connection: Connection, query: Select[Any]) -> Select[Any]:
    """Lock the rows of a query until the end of the transaction.

    SQLite has one writer: there is nothing to lock.
    """
    return query if connection.dialect.name == "sqlite" else query.with_for_update()


def skip_locked(connection: Connection, query: Select[Any]) -> Select[Any]:
    """Like ``lock_rows``, but pass over rows that another transaction holds."""
    if connection.dialect.name == "sqlite":
        return query
    return query.with_for_update(skip_locked=True)
