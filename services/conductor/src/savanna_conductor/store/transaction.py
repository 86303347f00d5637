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
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from savanna.conductor.v1.cluster_service_pb2 import WatchJournalResponse
from savanna.operation.v1 import operation_pb2
from savanna_conductor import metrics
from savanna_conductor.store import arrays, dialect, schema
from savanna_kit import crashes, logs
from savanna_kit.coalescer import Coalescer
from savanna_kit.errors import Unavailable
from savanna_kit.executors import BoundedExecutor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sqlalchemy import Connection, Engine

log = logs.get_logger(__name__)

T = TypeVar("T")
JOURNAL = "journal"
_ENTRIES_OF_A_ROW = 200
_OF_OPERATIONS = (
    operation_pb2.JournalEntry.KIND_OPERATION_CREATED,
    operation_pb2.JournalEntry.KIND_OPERATION_CHANGED,
)


@dataclass
class Transaction:
    """A writing transaction: the connection, the time by the database, and what will be told in the
    journal."""

    connection: Connection
    now: int
    told: list[operation_pb2.JournalEntry] = field(default_factory=list)
    concerns_schedulers: bool = False
    """Whether there may be something to claim afterwards, or a cancel."""

    limits: Mapping[int, float] = field(default_factory=dict)
    """Seconds that operations may take, by goal."""

    def tell(self, entry: operation_pb2.JournalEntry) -> None:
        """Add an entry to the journal; sequence and time are filled in at the end."""
        self.told.append(entry)
        if entry.kind in _OF_OPERATIONS:
            self.concerns_schedulers = True


Write = Callable[[Transaction], Any]


class Store:
    """The database as the rest of the service sees it: ``write`` and ``read`` run plain functions
    in threads.

    Both may run a function again when the database hung up before anything was stored. They raise
    ``Unavailable`` when the database does not answer.
    """

    def __init__(
        self, engine: Engine, *, readers: int = 4, limits: Mapping[int, float] | None = None
    ) -> None:
        self._engine = engine
        self._limits = limits or {}
        self._readers = BoundedExecutor("conductor-read", readers)
        self._writer = BoundedExecutor("conductor-write", 1)
        self._writes: Coalescer[Write, Any] = Coalescer(self._write_group, limit=128)
        self._changed = asyncio.Event()
        self._called = asyncio.Event()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run a function in a writing transaction, shared with others; returns after the commit."""
        result: T = await self._writes.call(function)
        return result

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run a function on one snapshot of the database."""
        return await self._readers.run(self._tried, lambda: self._read_once(function))

    def next_change(self) -> asyncio.Event:
        """Give what is set by the next write of this process; taken before a look, it misses
        nothing that the look did not see."""
        return self._changed

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

    def close(self) -> None:
        """Wait for what runs and let go of the database."""
        self._readers.close()
        self._writer.close()
        self._engine.dispose()

    async def _write_group(self, functions: Sequence[Write]) -> Sequence[Any]:
        begin = time.perf_counter()
        results, concerns_schedulers = await self._writer.run(
            self._tried, lambda: self._write_once(functions)
        )
        metrics.TRANSACTION_SECONDS.record(time.perf_counter() - begin)
        metrics.TRANSACTION_WRITES.record(len(functions))
        change, self._changed = self._changed, asyncio.Event()
        change.set()
        if concerns_schedulers:
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

    def _write_once(self, functions: Sequence[Write]) -> tuple[list[Any], bool]:
        with dialect.for_writing(self._engine.connect()) as connection:
            outer = connection.begin()
            now = dialect.become_writer(connection)
            transaction = Transaction(connection, now, limits=self._limits)
            if len(functions) == 1:
                # Alone, it needs no savepoint: its failure is that of the whole.
                try:
                    results: list[Any] = [functions[0](transaction)]
                except Exception as error:
                    if _concerns_all(error):
                        raise
                    return [error], False
            else:
                results = [_in_savepoint(transaction, each) for each in functions]
            _write_journal(transaction)
            crashes.here("conductor.commit.before")
            try:
                outer.commit()
            except DBAPIError as error:
                log.warning("commit_unknown", error=str(error.orig))
                raise Unavailable(
                    "the database did not confirm a commit, so it is not known whether it was "
                    "stored: ask again",
                    reason="COMMIT_UNKNOWN",
                ) from error
            crashes.here("conductor.commit.after")
        return results, transaction.concerns_schedulers

    def _read_once(self, function: Callable[[Connection], T]) -> T:
        with dialect.for_reading(self._engine.connect()) as connection, connection.begin():
            return function(connection)


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
            return function(transaction)
    except Exception as error:
        if _concerns_all(error):
            raise
        del transaction.told[told:]
        return error


def _concerns_all(error: Exception) -> bool:
    """Say whether the database itself failed, and not this write."""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(error, OperationalError)
    )


def _unavailable(error: DBAPIError) -> Exception:
    if not _concerns_all(error):
        return error
    log.warning("database_unavailable", error=str(error.orig))
    return Unavailable(
        "the database does not answer; the conductor's log says why", reason="DATABASE_UNAVAILABLE"
    )


def _write_journal(transaction: Transaction) -> None:
    entries = transaction.told
    if not entries:
        return
    given = {"name": JOURNAL, "more": len(entries)}
    number = transaction.connection.execute(_COUNT, given).scalar_one() - len(entries)
    now = Timestamp()
    now.FromMicroseconds(transaction.now)
    rows: dict[str, list[object]] = {name: [] for name in schema.journal.c.keys()}  # noqa: SIM118 - no dict
    for told in _by_operation(entries):
        for each in told:
            number += 1
            each.sequence = number
            each.time.CopyFrom(now)
        rows["sequence"].append(number)
        rows["project_id"].append(told[0].project_id)
        rows["cluster_id"].append(told[0].cluster_id)
        rows["operation_id"].append(told[0].operation_id)
        rows["body"].append(WatchJournalResponse(entries=told).SerializeToString())
    arrays.insert_columns(transaction.connection, schema.journal, rows, {})


_COUNT = text("UPDATE counter SET value = value + :more WHERE name = :name RETURNING value")


def _by_operation(
    entries: Iterable[operation_pb2.JournalEntry],
) -> Iterator[list[operation_pb2.JournalEntry]]:
    """Put what one transaction tells of one operation together, in rows of bounded size.

    What it tells of others at the same moment comes before or after.
    """
    told: dict[tuple[str, str], list[operation_pb2.JournalEntry]] = {}
    for each in entries:
        told.setdefault((each.cluster_id, each.operation_id), []).append(each)
    for mine in told.values():
        for start in range(0, len(mine), _ENTRIES_OF_A_ROW):
            yield mine[start : start + _ENTRIES_OF_A_ROW]
