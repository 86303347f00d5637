"""The conductor's own rules over real tables, by a clock that tests turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.conductor.v1 import execution_service_pb2 as execution
from savanna.operation.v1 import operation_pb2
from savanna_conductor import claims, commit, convert, journal, leases, operations, queries
from savanna_conductor.store import schema
from savanna_conductor.store.transaction import Transaction, write_journal
from tests.unit.scheduler.database import Database, OperationRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

Attempt = operation_pb2.Attempt
Entry = operation_pb2.JournalEntry
Operation = operation_pb2.Operation
Task = operation_pb2.Task
T = TypeVar("T")

_BEGIN = 1_000.0
"""Not 0: a time of 0 is stored for what has not happened."""


class StoredDatabase(Database):
    """Rows, as they were read after the last write.

    The conductor makes the ids of operations and tasks itself. All writes go into one transaction,
    which the next one of these begins anew: so it finds the tables empty, and nothing waits for a
    disk. That writes are kept, take turns and fail apart is tested with the store's own tests.
    """

    def __init__(self, connection: Connection) -> None:
        """Take an open connection to a database without rows, and take back what the last did."""
        super().__init__(now=_BEGIN)
        self._connection = connection
        self._leases: dict[str, tuple[int, bool]] = {}
        connection.rollback()
        connection.begin()
        if connection.dialect.name == "postgresql":
            # What a conductor must never do, this does when its machine is slow: nothing for long.
            connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")

    # Leases.

    def renew_scheduler(self, scheduler_id: str) -> None:
        asked = execution.RenewSchedulerRequest(scheduler_id=scheduler_id)
        self._write(
            lambda tx: leases.renew_scheduler(tx, asked, lease_seconds=self.lease), rows=False
        )

    def release(self, scheduler_id: str) -> None:
        self._write(lambda tx: leases.release_scheduler(tx, scheduler_id))

    def renew_session(self, session_id: str) -> bool:
        engine_id = self.engine_ids.get(session_id, "")
        asked = execution.Session(session_id=session_id, engine_id=engine_id)
        ended = self._write(
            lambda tx: leases.renew_sessions(tx, [asked], lease_seconds=self.lease), rows=False
        )
        self._read_leases()
        return not ended

    def is_alive(self, session_id: str) -> bool:
        until, ended = self._leases.get(session_id, (-1, True))
        return not ended and self._micros() <= until

    # Operations.

    def create(
        self, operation_id: str, project_id: str = "p1", *specs: operation_pb2.TaskSpec
    ) -> str:
        """Store an operation with its first plan, as for a new cluster; gives its id.

        There is no row of the cluster: what becomes of clusters is no matter of schedulers.
        """
        assert not specs, "an operation begins with its first plan"
        asked = Operation(
            project_id=project_id, cluster_id=operation_id, goal=Operation.GOAL_LAUNCH
        )
        return self._write(lambda tx: operations.create(tx, asked, is_first=True).id)

    def request_cancel(self, operation_id: str) -> None:
        """Ask for the end of an operation; one that has ended is left alone, as users are told."""
        row = self.operations[operation_id]
        if not row.is_over:
            self._write(lambda tx: operations.request_cancel(tx, row.message))

    # Claims and commits.

    def claim(self, scheduler_id: str, known_cancels: set[str]) -> execution.ClaimResponse:
        """Claim, without looking first whether that is worthwhile: that asks the real clock."""
        request = execution.ClaimRequest(scheduler_id=scheduler_id, known_cancels=known_cancels)
        return self._write(lambda tx: claims.claim(tx, request))

    def commit(self, request: execution.CommitRequest) -> execution.CommitResponse:
        return self._write(lambda tx: commit.commit(tx, request))

    # Tables.

    def _micros(self) -> int:
        return round(self.now * leases.MICROSECONDS)

    def _write(self, function: Callable[[Transaction], T], *, rows: bool = True) -> T:
        """Do what the conductor does in one transaction, and read what became of it."""
        transaction = Transaction(self._connection, self._micros())
        result = function(transaction)
        if transaction.told:
            head = journal.head(transaction.connection)
            write_journal(transaction, head)
            self._read_journal(transaction, head)
        transaction.write_waiting()
        if rows:
            self._read_rows()
        return result

    def _read_leases(self) -> None:
        table = schema.engine_session
        found = self._connection.execute(select(table.c.id, table.c.lease_until, table.c.ended))
        self._leases = {row.id: (row.lease_until, row.ended) for row in found}

    def _read_rows(self) -> None:
        self._read_leases()
        table = schema.operation
        self.operations = {
            row.id: OperationRow(
                convert.operation(row), row.owner or "", row.state not in operations.OPEN
            )
            for row in self._connection.execute(select(table).order_by(table.c.created))
        }
        found = queries.tasks(self._connection, self.operations, bodies=True)
        self.tasks = {each.id: each for each in found}
        self.by_key = {(each.operation_id, each.spec.key): each for each in found}
        self.assigned |= {
            (each.id, each.epoch, each.session_id)
            for each in found
            if each.state == Task.STATE_ASSIGNED
        }

    def _read_journal(self, transaction: Transaction, head: int) -> None:
        """Note which attempts have ended by what was told; polls are not."""
        table = schema.journal
        query = select(table.c.body).where(table.c.sequence > head)
        for body in transaction.connection.execute(query).scalars():
            for entry in messages.WatchJournalResponse.FromString(body).entries:
                if entry.outcome != Attempt.OUTCOME_UNSPECIFIED:
                    self.ends.setdefault((entry.task_id, entry.epoch), []).append(entry.outcome)
