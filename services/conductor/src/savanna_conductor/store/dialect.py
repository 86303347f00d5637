"""Every difference between SQLite and PostgreSQL, and nothing else."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from savanna_conductor.store import driver
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    Statement = tuple[str, Sequence[object]]
    Watched = Callable[[Connection], AbstractContextManager[object]]

_BUSY_MILLISECONDS = 30_000
_IDLE_MILLISECONDS = 3_000
"""A conductor that stands still in the middle of a write gives way before leases end."""

_WRITER = 7_305_818_004_211_940_051
"""Number of the advisory lock that makes writers of all conductors one."""

_PG_DISK_FULL = "53100"
_VERSION = "SELECT version_num FROM alembic_version"
_HEAD = "SELECT value FROM counter WHERE name = 'journal'"
_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


def open_engine(url: str, *, readers: int, statement_seconds: float = 0.0) -> Engine:
    """Open a database, whose statements are ended after so many seconds; 0 for never.

    SQLite works in this process, so its statements need no limit. Raises ``InvalidArgument`` for a
    database of another kind.
    """
    try:
        parsed = make_url(url)
        kind = parsed.get_backend_name()
    except ArgumentError:
        kind = ""
    if kind == "postgresql":
        url_of_driver = parsed.set(drivername="postgresql+psycopg2")
        return _open_postgresql(
            url_of_driver, connections=readers, statement_seconds=statement_seconds
        )
    if kind == "sqlite":
        return _open_sqlite(parsed, readers=readers)
    raise InvalidArgument(
        "the database must be written sqlite:///FILE or postgresql://USER@HOST/NAME",
        reason="DATABASE_URL_INVALID",
    )


def writer_of(engine: Engine, *, statement_seconds: float = 0.0) -> Engine:
    """Give the engine whose connections ``writing`` takes, for the same database."""
    if engine.dialect.name == "sqlite":
        return engine
    # Transactions are begun and ended by hand.
    return _open_postgresql(
        engine.url,
        connections=1,
        statement_seconds=statement_seconds,
        isolation_level="AUTOCOMMIT",
    )


def _open_postgresql(
    url: URL,
    *,
    connections: int,
    statement_seconds: float,
    **more: Any,  # noqa: ANN401 - as SQLAlchemy takes it
) -> Engine:
    limits = (
        f"-c idle_in_transaction_session_timeout={_IDLE_MILLISECONDS} "
        f"-c statement_timeout={int(statement_seconds * 1000)}"
    )
    return create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        # Keys and what users say must not get into logs with the statement that failed.
        hide_parameters=True,
        executemany_mode="values_plus_batch",
        connect_args={
            "connect_timeout": 5,
            # A database that has fallen silent is noticed in some ten seconds, not in two hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
            "options": limits,
        },
        **more,
    )


def _open_sqlite(url: URL, *, readers: int) -> Engine:
    """Open a file: write-ahead log, every commit on disk, foreign keys, explicit transactions."""
    engine = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=readers + 1,
        max_overflow=0,
        hide_parameters=True,
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


def for_reading(connection: Connection) -> Connection:
    """Have all reads of a transaction see one snapshot, as those of SQLite do."""
    if connection.dialect.name == "sqlite":
        return connection
    return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def for_writing(connection: Connection) -> Connection:
    """Say that the transaction to come will write."""
    return connection.execution_options(savanna_writes=True)


def become_writer(connection: Connection) -> int:
    """Wait until no other transaction writes, whichever conductor's; gives the time of the database
    from then on.

    SQLite has one writer by itself; PostgreSQL gets one by a lock that ends with the transaction.
    """
    if connection.dialect.name == "sqlite":
        return now(connection)
    asked = text(f"SELECT pg_advisory_xact_lock({_WRITER}); {_CLOCK}")
    return int(connection.execute(asked).scalar_one())


@contextmanager
def writing(engine: Engine, watched: Watched = nullcontext) -> Iterator[Connection]:
    """Open a connection for one transaction from ``begin`` to ``commit``; what is not committed at
    the end is taken back, under watch as all the rest.

    On PostgreSQL begin and commit are statements like all others, so that they travel with them.
    """
    with for_writing(engine.connect()) as connection, watched(connection):
        try:
            yield connection
        except BaseException:
            if connection.dialect.name == "postgresql" and not connection.invalidated:
                _roll_back(connection)
            raise


def begin(connection: Connection) -> tuple[int, int, str]:
    """Begin a transaction beside which no other writes; gives the time of the database, the number
    of the last entry of the journal, and the version of the schema."""
    if connection.dialect.name == "sqlite":
        connection.begin()
        head, version = driver.read(connection, f"SELECT ({_HEAD}), ({_VERSION})")[0]
        return now(connection), head, version
    # The last statement sees what was stored before the lock was had: each has its own snapshot.
    asked = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "
        f"SELECT pg_advisory_xact_lock({_WRITER}); "
        f"SELECT ({_CLOCK}), ({_HEAD}), ({_VERSION})"
    )
    time_of_database, head, version = driver.read(connection, asked)[0]
    return time_of_database, head, version


def commit(connection: Connection, last: Sequence[Statement]) -> None:
    """Run the last statements of a transaction, and commit it."""
    if connection.dialect.name == "sqlite":
        send(connection, last)
        connection.commit()
    else:
        send(connection, [*last, ("COMMIT", ())])


def send(connection: Connection, statements: Sequence[Statement]) -> None:
    """Run statements that give nothing: for PostgreSQL in one message."""
    if connection.dialect.name == "sqlite":
        for statement, given in statements:
            driver.write(connection, statement, given)
    elif statements:
        together = "; ".join(statement for statement, _ in statements)
        driver.write(connection, together, [each for _, given in statements for each in given])


def _roll_back(connection: Connection) -> None:
    try:
        driver.write(connection, "ROLLBACK")
    except DBAPIError:
        connection.invalidate()


def is_full(error: DBAPIError) -> bool:
    """Say whether the disk of the database takes nothing more."""
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)
    return getattr(error.orig, "pgcode", "") == _PG_DISK_FULL


def now(connection: Connection) -> int:
    """Give the time of the database in microseconds.

    SQLite lives on this machine and has this machine's clock.
    """
    if connection.dialect.name == "sqlite":
        return time.time_ns() // 1000
    return int(driver.read(connection, _CLOCK)[0][0])
