"""Rows of tasks as a commit reads and writes them: few statements, whatever their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from savanna.operation.v1 import operation_pb2
from savanna_conductor import ids
from savanna_conductor.store import arrays, driver, schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

    from savanna_conductor.leases import Session
    from savanna_conductor.store.transaction import Transaction

Operation = operation_pb2.Operation
Task = operation_pb2.Task

MAX_BODY = 4 * 2**20
"""Bytes of the largest task."""

_READ = (
    "id",
    "operation_id",
    "spec",
    "state",
    "epoch",
    "session_id",
    "failed_attempts",
    "lost_attempts",
    "interruptions",
    "not_before",
    "waiting_since",
    "started",
    "ended",
    "polled",
    "failure",
)
_WRITTEN = _READ[3:]
_HANDED_OUT = ("state", "epoch", "session_id", "started")
_ENDED = ("state", "ended", "failure")
_GETTERS: dict[tuple[str, ...], attrgetter[tuple[Any, ...]]] = {
    columns: attrgetter(*columns) for columns in (_WRITTEN, _HANDED_OUT, _ENDED)
}
_OPERATION_ID = _READ.index("operation_id")


class Owned(NamedTuple):
    """An operation as far as its tasks ask."""

    id: str
    project_id: str
    cluster_id: str
    owner: str | None
    state: Operation.State.ValueType


@dataclass(slots=True)
class TaskRow:
    """A task as it is stored, and as it will be."""

    id: str
    operation_id: str
    spec: bytes
    state: Task.State.ValueType
    epoch: int
    session_id: str
    failed_attempts: int
    lost_attempts: int
    interruptions: int
    not_before: int
    waiting_since: int
    started: int
    ended: int
    polled: bool
    failure: bytes
    operation: Owned
    engine_id: str = ""
    """Engine of the session that has or had it, where that is known."""

    changed: tuple[str, ...] = ()
    """Columns to be written."""

    def hand_out(self, session: Session, now: int) -> None:
        """Give it to an engine."""
        self.state, self.session_id = Task.STATE_ASSIGNED, session.id
        self.engine_id = session.engine_id
        self.epoch += 1
        self.started = now
        self._note(_HANDED_OUT)

    def interrupt(self) -> None:
        """Put it back, for all that had to do with it has died together."""
        self.state = Task.STATE_PENDING
        self.interruptions += 1
        # It is told, so the next hand-out is too.
        self.polled = False
        self.note_all()

    def end(self, state: Task.State.ValueType, failure: bytes, now: int) -> None:
        """End it."""
        self.state, self.failure, self.ended = state, failure, now
        self._note(_ENDED)

    def note_all(self) -> None:
        """Have all columns written."""
        self.changed = _WRITTEN

    def _note(self, columns: tuple[str, ...]) -> None:
        self.changed = _WRITTEN if self.changed else columns


def load(
    connection: Connection, task_ids: Iterable[str], *, owner: str | None
) -> dict[str, TaskRow]:
    """Read tasks of operations that a scheduler owns, or nobody; others are left out."""
    rows = arrays.read_by_ids(connection, schema.task, _READ, task_ids)
    named = {row[_OPERATION_ID] for row in rows}
    found = map(Owned._make, arrays.read_by_ids(connection, schema.operation, Owned._fields, named))
    owned = {each.id: each for each in found if each.owner == owner}
    tasks = {
        row[0]: TaskRow(*(*row, owned[row[_OPERATION_ID]]))
        for row in rows
        if row[_OPERATION_ID] in owned
    }
    for each in tasks.values():
        # PostgreSQL's driver gives bytes as memory that belongs to it.
        each.spec, each.failure = bytes(each.spec), bytes(each.failure)
    return tasks


def stored_keys(
    connection: Connection, operation_id: str, keys: Iterable[str]
) -> tuple[int, set[str]]:
    """Give the number of an operation's tasks, and those of some keys that are stored."""
    dialect = connection.dialect.name
    mine = f"FROM task WHERE operation_id = {arrays.mark(dialect)}"
    number = driver.read(connection, f"SELECT count(*) {mine}", (operation_id,))[0][0]
    given = (operation_id, arrays.listed(connection, keys))
    found = driver.read(connection, f"SELECT key {mine} AND key {arrays.among(dialect)}", given)
    return number, {row[0] for row in found}


def store(transaction: Transaction, rows: Iterable[TaskRow]) -> None:
    """Write what has changed: one statement for all that get the same values, as most do."""
    alike: dict[tuple[tuple[str, ...], tuple[object, ...]], list[str]] = {}
    for row in rows:
        if row.changed:
            values = _GETTERS[row.changed](row)
            alike.setdefault((row.changed, values), []).append(row.id)
    for (columns, values), named in alike.items():
        given = dict(zip(columns, values, strict=True))
        arrays.update_by_ids(transaction, schema.task, named, given)


@dataclass
class NewTasks:
    """Tasks to be stored."""

    operation_ids: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    specs: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def add(
        self, operation_id: str, spec: operation_pb2.TaskSpec, position: int
    ) -> tuple[str, bytes]:
        """Add a task; gives its id, and its specification as it is stored: without the body.

        Raises ``InvalidArgument`` for one that is too large.
        """
        body = spec.body
        # The body is stored apart. It is taken out and put back: a copy would cost more.
        spec.ClearField("body")
        bare = spec.SerializeToString(deterministic=True)
        spec.body = body
        if len(bare) + len(body) > MAX_BODY:
            raise InvalidArgument(
                f"task '{spec.key}' has {len(bare) + len(body)} bytes, {MAX_BODY} are the most",
                reason="TASK_TOO_LARGE",
            )
        task_id = ids.new_id()
        self.operation_ids.append(operation_id)
        self.ids.append(task_id)
        self.keys.append(spec.key)
        self.positions.append(position)
        self.specs.append(bare)
        self.bodies.append(body)
        return task_id, bare

    def store(self, transaction: Transaction) -> None:
        """Write all of them."""
        if not self.ids:
            return
        columns: dict[str, Sequence[object]] = {
            "id": self.ids,
            "operation_id": self.operation_ids,
            "key": self.keys,
            "position": self.positions,
            "spec": self.specs,
            "body": self.bodies,
        }
        fixed: dict[str, object] = {
            "state": int(Task.STATE_PENDING),
            "epoch": 0,
            "session_id": "",
            "failed_attempts": 0,
            "lost_attempts": 0,
            "interruptions": 0,
            "not_before": 0,
            "waiting_since": 0,
            "created": transaction.now,
            "started": 0,
            "ended": 0,
            "polled": False,
            "failure": b"",
        }
        arrays.insert_columns(transaction, schema.task, columns, fixed)
