"""Rows of tasks as a commit reads and writes them: few statements, whatever their number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.operation.v1 import operation_pb2
from savanna_conductor import ids
from savanna_conductor.store import arrays, schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection

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
    not_before: int
    waiting_since: int
    started: int
    ended: int
    polled: bool
    failure: bytes
    changed: tuple[str, ...] = ()
    """Columns to be written."""

    def hand_out(self, session_id: str, now: int) -> None:
        """Give it to an engine."""
        self.state, self.session_id = Task.STATE_ASSIGNED, session_id
        self.epoch += 1
        self.started = now
        self._note(_HANDED_OUT)

    def end(self, state: Task.State.ValueType, failure: bytes, now: int) -> None:
        """End it."""
        self.state, self.failure, self.ended = state, failure, now
        self._note(_ENDED)

    def note_all(self) -> None:
        """Have all columns written."""
        self.changed = _WRITTEN

    def _note(self, columns: tuple[str, ...]) -> None:
        self.changed = _WRITTEN if self.changed else columns


def load(connection: Connection, ids: Iterable[str]) -> dict[str, TaskRow]:
    """Read tasks."""
    rows = arrays.select_by_ids(connection, schema.task, _READ, ids)
    found = {row[0]: TaskRow(*tuple(row)) for row in rows}
    for each in found.values():
        # PostgreSQL's driver gives bytes as memory that belongs to it.
        each.spec, each.failure = bytes(each.spec), bytes(each.failure)
    return found


def store(connection: Connection, rows: Iterable[TaskRow]) -> None:
    """Write what has changed: one statement for each kind of change."""
    by_kind: dict[tuple[str, ...], list[TaskRow]] = {}
    for row in rows:
        if row.changed:
            by_kind.setdefault(row.changed, []).append(row)
    for columns, changed in by_kind.items():
        values = {name: [getattr(row, name) for row in changed] for name in columns}
        arrays.update_by_ids(connection, schema.task, [row.id for row in changed], values)


@dataclass
class NewTasks:
    """Tasks to be stored."""

    operation_ids: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    specs: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def add(self, operation_id: str, spec: operation_pb2.TaskSpec, position: int) -> str:
        """Add a task; gives its id.

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
        return task_id

    def store(self, connection: Connection, now: int) -> None:
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
            "not_before": 0,
            "waiting_since": 0,
            "created": now,
            "started": 0,
            "ended": 0,
            "polled": False,
            "failure": b"",
        }
        arrays.insert_columns(connection, schema.task, columns, fixed)
