"""For a process that has a database to itself, as ``savanna-all`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from savanna.operation.v1 import operation_pb2
from savanna_conductor import leases, operations, task_rows, telling
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import Transaction, write_journal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine

Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Task = operation_pb2.Task


def end_former_life(engine: Engine) -> None:
    """End all leases of schedulers and engine sessions at once: the caller knows that whoever had
    them is dead.

    What they were doing is put back, to be handed out with a higher epoch, by which hosts stop what
    an earlier one still runs there. It does not count as a lost engine: all died together, which is
    evidence against none of it.
    """
    writing_engine = dialect.writer_of(engine)
    with dialect.writing(writing_engine) as connection:
        now, head, _ = dialect.begin(connection)
        transaction = Transaction(connection, now)
        _put_back(transaction, leases.end_all(transaction))
        write_journal(transaction, head)
        dialect.commit(connection, transaction.waiting)
    writing_engine.dispose()


def _put_back(transaction: Transaction, engines: Mapping[str, str]) -> None:
    """Put back what these sessions had."""
    task, operation = schema.task, schema.operation
    query = (
        select(task.c.id)
        .join(operation, operation.c.id == task.c.operation_id)
        .where(operation.c.state.in_(operations.OPEN), task.c.state == Task.STATE_ASSIGNED)
    )
    named = transaction.connection.execute(query).scalars().all()
    rows = task_rows.load(transaction.connection, named, owner=None)
    for row in rows.values():
        if row.session_id in engines:
            row.engine_id = engines[row.session_id]
            row.interrupt()
            entry, outcome = Entry.KIND_TASK_RETRIED, Attempt.OUTCOME_INTERRUPTED
            telling.attempt_changed(transaction, row, entry, outcome)
    task_rows.store(transaction, rows.values())
