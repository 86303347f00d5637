"""Transactions: one writer that commits in groups, and readers beside it.

All writes of a process go through one thread. What arrives while a commit is under way shares the
next one: one fsync for many. Each write runs in a savepoint of its own, so that its error is its
own.

The journal's sequence comes from a counter row that is taken last in every writing transaction:
whoever reads up to a number has seen all smaller ones, with any number of conductors
(docs/adr/002-journal-sequence.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import insert, update

from savanna_conductor.store import dialect, schema
from savanna_kit.coalescer import Coalescer
from savanna_kit.executors import BoundedExecutor

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from savanna.operation.v1 import operation_pb2

T = TypeVar("T")
JOURNAL = "journal"


@dataclass
class Transaction:
    """A writing transaction: the connection, the time by the database, and what will be told in the
    journal."""

    connection: Connection
    now: int
    told: list[operation_pb2.JournalEntry] = field(default_factory=list)

    def tell(self, entry: operation_pb2.JournalEntry) -> None:
        """Add an entry to the journal; sequence and time are filled in at the end."""
        self.told.append(entry)


Write = Callable[[Transaction], Any]


class Store:
    """The database as the rest of the service sees it: ``write`` and ``read`` run plain functions
    in threads."""

    def __init__(self, engine: Engine, *, readers: int = 4) -> None:
        self._engine = engine
        self._readers = BoundedExecutor("conductor-read", readers)
        self._writer = BoundedExecutor("conductor-write", 1)
        self._writes: Coalescer[Write, Any] = Coalescer(self._write_group, limit=128)
        self._changed = asyncio.Event()

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run a function in a writing transaction, shared with others; returns after the commit."""
        result: T = await self._writes.call(function)
        return result

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run a function on one snapshot of the database."""
        return await self._readers.run(self._read, function)

    async def wait_for_change(self, seconds: float) -> None:
        """Wait until this process has written something, at most so long: others' writes are seen
        by looking."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return

    def close(self) -> None:
        """Wait for what runs and let go of the database."""
        self._readers.close()
        self._writer.close()
        self._engine.dispose()

    async def _write_group(self, functions: Sequence[Write]) -> Sequence[Any]:
        results = await self._writer.run(self._write_in_thread, functions)
        self._changed.set()
        self._changed = asyncio.Event()
        return results

    def _write_in_thread(self, functions: Sequence[Write]) -> list[Any]:
        results: list[Any] = []
        with (
            self._engine.connect().execution_options(savanna_writes=True) as connection,
            connection.begin(),
        ):
            transaction = Transaction(connection, dialect.now(connection))
            for function in functions:
                told = len(transaction.told)
                try:
                    with connection.begin_nested():
                        results.append(function(transaction))
                except Exception as error:
                    del transaction.told[told:]
                    results.append(error)
            _write_journal(transaction)
        return results

    def _read(self, function: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection, connection.begin():
            return function(connection)


def timestamp(microseconds: int) -> Timestamp | None:
    """Turn a stored time into a message; None for 0, the time of what has not happened."""
    if not microseconds:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(microseconds)
    return stamp


def _write_journal(transaction: Transaction) -> None:
    entries = transaction.told
    if not entries:
        return
    counted = transaction.connection.execute(
        update(schema.counter)
        .where(schema.counter.c.name == JOURNAL)
        .values(value=schema.counter.c.value + len(entries))
        .returning(schema.counter.c.value)
    ).scalar_one()
    first = counted - len(entries) + 1
    rows = []
    for number, entry in enumerate(entries, start=first):
        entry.sequence = number
        entry.time.FromMicroseconds(transaction.now)
        rows.append(
            {
                "sequence": number,
                "project_id": entry.project_id,
                "cluster_id": entry.cluster_id,
                "operation_id": entry.operation_id,
                "body": entry.SerializeToString(),
            }
        )
    transaction.connection.execute(insert(schema.journal), rows)
