"""Transactions: one writer that commits in groups, and readers beside it.

All writes of a process go through one thread. What arrives while a commit is under way shares the
next one: one fsync for many. Each write runs in a savepoint of its own, so that its error is its
own.

Writers of several conductors take turns, a group at a time: a write sees everything that was stored
before it, and what it decides still holds when it is stored. So the same code is right on both
databases, nothing is ever deadlocked, and the entries of the journal appear in the order of their
numbers: whoever has read up to a number has seen all smaller ones.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.exc import DBAPIError, OperationalError

from savanna.operation.v1.operation_pb2 import JournalEntry
from savanna_conductor import metrics
from savanna_conductor.store import arrays, dialect, entries, schema
from savanna_conductor.store.changes import Changes
from savanna_conductor.store.patience import Patience
from savanna_kit import crashes, logs
from savanna_kit.coalescer import Coalescer
from savanna_kit.errors import Internal, Unavailable
from savanna_kit.executors import BoundedExecutor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Engine

log = logs.get_logger(__name__)

T = TypeVar("T")
JOURNAL = "journal"
SCHEMA_CHANGED = "SCHEMA_CHANGED"
_STACK = 5
"""Calls that are told of a statement that was refused."""

_STATEMENTS = 3
"""A transaction may take as long as so many statements may."""

_OF_OPERATIONS = (
    JournalEntry.KIND_OPERATION_CREATED,
    JournalEntry.KIND_OPERATION_CHANGED,
)


@dataclass
class Transaction:
    """A writing transaction: the connection, the time by the database, and what will be told in the
    journal."""

    opened: Connection
    now: int
    told: list[entries.Told] = field(default_factory=list)
    concerns_schedulers: bool = False
    """Whether there may be something to claim afterwards, or a cancel."""

    limits: Mapping[int, float] = field(default_factory=dict)
    """Seconds that operations may take, by goal."""

    numbers: range = range(0)
    """Of what was told, once it is written."""

    waiting: list[dialect.Statement] = field(default_factory=list)
    """Statements that go with the next message to the database."""

    @property
    def connection(self) -> Connection:
        """The connection, after all that waited was written."""
        self.write_waiting()
        return self.opened

    def later(self, statement: str, given: Sequence[object]) -> None:
        """Write something whose result nobody reads: before anything else is asked, or with the
        commit."""
        self.waiting.append((statement, given))

    def write_waiting(self) -> None:
        """Write what waits for the next message."""
        waiting, self.waiting = self.waiting, []
        dialect.send(self.opened, waiting)

    def tell(self, entry: JournalEntry, subject: entries.Subject | None = None) -> None:
        """Add an entry to the journal; sequence and time are filled in at the end.

        What it is about may be given apart.
        """
        told = entries.whole(entry) if subject is None else entries.Told(subject, entry)
        self.told.append(told)
        if entry.kind in _OF_OPERATIONS:
            self.concerns_schedulers = True


Write = Callable[[Transaction], Any]


class Store:
    """The database as the rest of the service sees it: ``write`` and ``read`` run plain functions
    in threads.

    Both may run a function again when the database hung up before anything was stored. They raise
    ``Unavailable`` when the database does not answer, and ``Internal`` when it refuses a statement.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        readers: int = 4,
        limits: Mapping[int, float] | None = None,
        statement_seconds: float = 0.0,
        version: str = "",
    ) -> None:
        """Take a database; ``version`` is the only one of its schema that is written to."""
        self._engine = engine
        self._writing_engine = dialect.writer_of(engine, statement_seconds=statement_seconds)
        self._patience = Patience(_STATEMENTS * statement_seconds)
        self._version = version
        self._limits = limits or {}
        self._readers = BoundedExecutor("conductor-read", readers)
        self._writer = BoundedExecutor("conductor-write", 1)
        self._writes: Coalescer[Write, Any] = Coalescer(self._write_group, limit=128)
        self.changes = Changes()
        """What writes of this process told."""
        self._called = asyncio.Event()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run a function in a writing transaction, shared with others; returns after the commit."""
        # Whoever opens the transaction for all, each write belongs to its own request and trace.
        context = contextvars.copy_context()
        with _faults_told():
            result: T = await self._writes.call(
                lambda transaction: context.run(function, transaction)
            )
        return result

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run a function on one snapshot of the database."""
        with _faults_told():
            return await self._readers.run(self._tried, lambda: self._read_once(function))

    def next_call(self) -> asyncio.Event:
        """Give what is set by the next write of this process that schedulers may wait for; most
        writes are their own."""
        return self._called

    @staticmethod
    async def wait_for_change(change: asyncio.Event, seconds: float) -> None:
        """Wait for a change, at most so long: what other processes write is seen by looking."""
        try:
            async with asyncio.timeout(seconds):
                await change.wait()
        except TimeoutError:
            return

    async def keep_patience(self) -> None:
        """Look after connections on which the database has fallen silent, for ever."""
        while True:
            await asyncio.sleep(1)
            self._patience.cut_late()

    def close(self) -> None:
        """Wait for what runs, but not for ever, and let go of the database."""
        with self._patience.ending():
            self._readers.close()
            self._writer.close()
        self._writing_engine.dispose()
        self._engine.dispose()

    async def _write_group(self, functions: Sequence[Write]) -> Sequence[Any]:
        begin = time.perf_counter()
        results, done = await self._writer.run(self._tried, lambda: self._write_once(functions))
        metrics.TRANSACTION_SECONDS.record(time.perf_counter() - begin)
        metrics.TRANSACTION_WRITES.record(len(functions))
        self.changes.announce({each for told in done.told for each in told.subject[:3]})
        self.changes.note_own(done.numbers)
        if done.concerns_schedulers:
            call, self._called = self._called, asyncio.Event()
            call.set()
        return results

    def _tried(self, once: Callable[[], T]) -> T:
        """Run something again if its connection was broken before it began: databases restart."""
        try:
            return once()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise _unavailable(error) from error
        try:
            return once()
        except DBAPIError as error:
            raise _unavailable(error) from error

    def _write_once(self, functions: Sequence[Write]) -> tuple[list[Any], Transaction]:
        with dialect.writing(self._writing_engine, self._patience.during) as connection:
            now, head, version = dialect.begin(connection)
            if self._version and version != self._version:
                raise _changed(version, self._version)
            transaction = Transaction(connection, now, limits=self._limits)
            if len(functions) == 1:
                # Alone, it needs no savepoint: its failure is that of the whole.
                results: list[Any] = [functions[0](transaction)]
            else:
                results = [_in_savepoint(transaction, each) for each in functions]
            write_journal(transaction, head)
            crashes.here("conductor.commit.before")
            try:
                dialect.commit(connection, transaction.waiting)
            except DBAPIError as error:
                if not _concerns_all(error):
                    raise
                if dialect.is_full(error):
                    raise _full(error) from error
                log.warning("commit_unknown", error=str(error.orig))
                raise Unavailable(
                    "the database did not confirm a commit, so it is not known whether it was "
                    "stored: ask again",
                    reason="COMMIT_UNKNOWN",
                ) from error
            crashes.here("conductor.commit.after")
        return results, transaction

    def _read_once(self, function: Callable[[Connection], T]) -> T:
        with (
            dialect.for_reading(self._engine.connect()) as connection,
            self._patience.during(connection),
            connection.begin(),
        ):
            return function(connection)


@contextmanager
def _faults_told() -> Iterator[None]:
    """Turn what is wrong with a statement, or with the tables that it is about, into an error of
    the tree: loops that look at the database again and again survive it."""
    try:
        yield
    except DBAPIError as error:
        # Of what PostgreSQL says the rest may quote keys, and what users said.
        why = getattr(getattr(error.orig, "diag", None), "message_primary", None)
        where = traceback.format_tb(error.__traceback__)[-_STACK:]
        log.error(
            "statement_refused",
            statement=error.statement,
            error=why or str(error.orig),
            stack="".join(where),
        )
        raise Internal(
            "the database refused a statement; the conductor's log says which and why",
            reason="STATEMENT_REFUSED",
        ) from None


def timestamp(microseconds: int) -> Timestamp | None:
    """Turn a stored time into a message; None for 0, the time of what has not happened."""
    if not microseconds:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(microseconds)
    return stamp


def _in_savepoint(transaction: Transaction, function: Write) -> Any:  # noqa: ANN401 - what the write gives, or its error
    told = len(transaction.told)
    try:
        with transaction.connection.begin_nested():
            result = function(transaction)
            transaction.write_waiting()
            return result
    except Exception as error:
        if _concerns_all(error):
            raise
        del transaction.told[told:]
        transaction.waiting.clear()
        return error


def _concerns_all(error: Exception) -> bool:
    """Say whether the database itself failed, and not this write."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError)
    )


def _unavailable(error: DBAPIError) -> Exception:
    if not _concerns_all(error):
        return error
    if dialect.is_full(error):
        return _full(error)
    log.warning("database_unavailable", error=str(error.orig))
    return Unavailable(
        "the database does not answer; the conductor's log says why", reason="DATABASE_UNAVAILABLE"
    )


def _changed(found: str, wanted: str) -> Unavailable:
    log.error("schema_changed", found=found, wanted=wanted)
    return Unavailable(
        f"the database was brought from schema '{wanted}' to '{found}' while this conductor ran: "
        "it stores nothing any more and ends; start the version that did it, and ask again",
        reason=SCHEMA_CHANGED,
    )


def _full(error: DBAPIError) -> Unavailable:
    log.error("database_full", error=str(error.orig))
    return Unavailable(
        "the disk of the database is full, and nothing of this was stored: make room on it, then "
        "ask again; what was stored before is there",
        reason="DATABASE_FULL",
    )


def write_journal(transaction: Transaction, head: int) -> None:
    """Number what was told after ``head``, and have it written with the commit."""
    if not transaction.told:
        return
    rows = entries.columns(transaction.told, head, transaction.now)
    last = head + len(transaction.told)
    transaction.numbers = range(head + 1, last + 1)
    transaction.later(f"UPDATE counter SET value = {last} WHERE name = '{JOURNAL}'", ())
    arrays.insert_columns(transaction, schema.journal, rows, {})
