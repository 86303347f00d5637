"""Reading how the mesh stands: leases, owners, and what waits, on one snapshot.

Ended operations are not touched, however many there are.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from savanna.mesh.v1 import mesh_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import leases, operations, queries
from savanna_conductor.store import dialect, schema
from savanna_conductor.store.transaction import timestamp
from savanna_conductor.waits import (
    READY,
    MeshFacts,
    OperationFacts,
    SchedulerFacts,
    SessionFacts,
    TaskFacts,
    oldest,
    waits_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

Operation = operation_pb2.Operation
Task = operation_pb2.Task
Rows = list["Row[Any]"]

_SHOWN_SECONDS = 3600
"""For so long is told of what has ended."""

_OF_A_PROJECT = 20
_IN_ALL = 100
_MOST_TASKS = 50_000
"""Operations with more tasks than this together are not looked into, but for the oldest."""

_ALIVE, _SILENT, _ENDED = (
    mesh_pb2.LIVENESS_ALIVE,
    mesh_pb2.LIVENESS_SILENT,
    mesh_pb2.LIVENESS_ENDED,
)


@dataclass(frozen=True)
class _Out:
    """A task in the hands of an engine, with its operation's owner, project and cluster."""

    row: Any
    """A row of ``_tasks_out``."""

    spec: operation_pb2.TaskSpec
    cluster_name: str


def status(connection: Connection) -> mesh_pb2.MeshStatus:
    """Read everything."""
    now = dialect.now(connection)
    open_rows = _open_operations(connection)
    chosen = _chosen(connection, open_rows)
    out = _tasks_out(connection, open_rows)
    schedulers = _scheduler_rows(connection, now)
    sessions = _session_rows(connection, now, {each.row.session_id for each in out})
    facts = _mesh_facts(now, schedulers, sessions, out)
    owners = {row.id: row.owner or "" for row in open_rows}
    told = mesh_pb2.MeshStatus(
        time=timestamp(now),
        schedulers=_schedulers(schedulers, open_rows, out, now),
        engines=_engines(sessions, out, now),
        operations=_operations(connection, chosen, owners, out, facts),
        more_operations=len(open_rows) - len(chosen),
    )
    told.projects.extend(_projects(open_rows, told.operations, out))
    return told


# Reading.


def _open_operations(connection: Connection) -> Rows:
    """Read of all operations that have not ended what is small."""
    table = schema.operation
    query = select(table.c.id, table.c.project_id, table.c.state, table.c.owner, table.c.created)
    query = query.where(table.c.state.in_(operations.OPEN))
    return list(connection.execute(query.order_by(table.c.created, table.c.id)))


def _chosen(connection: Connection, open_rows: Rows) -> list[Operation]:
    """Read those that are looked into, with their counts: oldest first, no project in the way of
    others."""
    seen: Counter[str] = Counter()
    ids: list[str] = []
    for row in open_rows:
        seen[row.project_id] += 1
        if seen[row.project_id] <= _OF_A_PROJECT and len(ids) < _IN_ALL:
            ids.append(row.id)
    table = schema.operation
    rows = connection.execute(
        select(table).where(table.c.id.in_(ids)).order_by(table.c.created, table.c.id)
    ).all()
    found: list[Operation] = []
    tasks = 0
    for operation in queries.counted(connection, rows):
        tasks += operation.tasks.total
        if tasks > _MOST_TASKS and found:
            break
        operation.ClearField("detail")
        found.append(operation)
    return found


def _tasks_out(connection: Connection, open_rows: Rows) -> list[_Out]:
    """Read every task in the hands of an engine: as many as engines have slots."""
    if not open_rows:
        return []
    task, operation = schema.task, schema.operation
    query = (
        select(
            *_columns("operation_id", *_TASK),
            operation.c.owner,
            operation.c.project_id,
            operation.c.body.label("operation_body"),
        )
        .join(operation, operation.c.id == task.c.operation_id)
        .where(operation.c.state.in_(operations.OPEN), task.c.state == Task.STATE_ASSIGNED)
    )
    found = []
    for row in connection.execute(query):
        spec = operation_pb2.TaskSpec.FromString(row.spec)
        stored = Operation.FromString(row.operation_body)
        found.append(_Out(row, spec, stored.cluster_name))
    return found


_TASK = (
    "spec",
    "state",
    "session_id",
    "failed_attempts",
    "not_before",
    "waiting_since",
    "created",
    "started",
)


def _columns(*names: str) -> list[Any]:
    return [schema.task.c[each] for each in names]


def _task_facts(row: Row[Any], spec: operation_pb2.TaskSpec) -> TaskFacts:
    return TaskFacts(spec, *(getattr(row, each) for each in _TASK[1:]))


def _scheduler_rows(connection: Connection, now: int) -> Rows:
    table = schema.scheduler
    recent = table.c.lease_until > now - _SHOWN_SECONDS * leases.MICROSECONDS
    shown = ("id", "address", "lease_until", "lost", "started", "drains")
    query = select(*(table.c[each] for each in shown)).where(or_(table.c.lost.is_(False), recent))
    return list(connection.execute(query.order_by(table.c.address, table.c.started)))


def _session_rows(connection: Connection, now: int, holders: Iterable[str]) -> Rows:
    table = schema.engine_session
    recent = table.c.lease_until > now - _SHOWN_SECONDS * leases.MICROSECONDS
    query = select(table).where(recent)
    rows = {row.id: row for row in connection.execute(query)}
    rest = sorted(set(holders) - set(rows))
    for row in queries.in_chunks(connection, select(table), table.c.id, rest):
        rows[row.id] = row
    return sorted(rows.values(), key=lambda each: (each.engine_id, each.started, each.id))


# Putting together.


def _mesh_facts(now: int, schedulers: Rows, sessions: Rows, out: Sequence[_Out]) -> MeshFacts:
    taken = Counter((each.row.owner or "", each.row.session_id, each.spec.pool) for each in out)
    return MeshFacts(
        now=now,
        schedulers={
            row.id: SchedulerFacts(row.lease_until, not row.lost and row.lease_until >= now)
            for row in schedulers
        },
        sessions={
            row.id: SessionFacts(
                row.engine_id,
                row.lease_until,
                leases.is_alive(row, now),
                json.loads(row.capacity),
            )
            for row in sessions
        },
        taken=taken,
        scarce=Counter((each.row.owner or "", key) for each in out for key in each.spec.limits),
    )


def _schedulers(
    rows: Rows, open_rows: Rows, out: Sequence[_Out], now: int
) -> list[mesh_pb2.Scheduler]:
    owned = Counter(row.owner for row in open_rows)
    running = Counter(each.row.owner for each in out)
    found = []
    for row in rows:
        liveness = _ENDED if row.lost else _ALIVE if row.lease_until >= now else _SILENT
        scheduler = mesh_pb2.Scheduler(
            scheduler_id=row.id,
            address=row.address,
            liveness=liveness,
            start_time=timestamp(row.started),
            lease_end_time=timestamp(row.lease_until),
            operations=owned[row.id],
            running_tasks=running[row.id],
        )
        if liveness == _ALIVE and row.drains:
            scheduler.MergeFromString(row.drains)
        found.append(scheduler)
    return _without_successor(found)


def _without_successor(found: Sequence[mesh_pb2.Scheduler]) -> list[mesh_pb2.Scheduler]:
    """Leave out those that ended and have a successor at their address: rows come oldest first."""
    newest = {each.address: each.scheduler_id for each in found if each.liveness != _SILENT}
    return [
        each
        for each in found
        if each.liveness != _ENDED or newest[each.address] == each.scheduler_id
    ]


def _engines(rows: Rows, out: Sequence[_Out], now: int) -> list[mesh_pb2.Engine]:
    held: dict[str, list[_Out]] = defaultdict(list)
    for each in out:
        held[each.row.session_id].append(each)
    alive = {row.id for row in rows if leases.is_alive(row, now)}
    there = {row.engine_id for row in rows if row.id in alive or row.id in held}
    newest = {row.engine_id: row.id for row in rows if row.engine_id not in there}
    found = []
    for row in rows:
        mine = held.get(row.id, [])
        if row.id not in alive and not mine and newest.get(row.engine_id) != row.id:
            continue
        liveness = _ALIVE if row.id in alive else _SILENT if mine else _ENDED
        engine = mesh_pb2.Engine(
            engine_id=row.engine_id,
            session_id=row.id,
            liveness=liveness,
            start_time=timestamp(row.started),
            lease_end_time=timestamp(row.lease_until),
            pools=_pools(json.loads(row.capacity), mine),
        )
        if mine:
            engine.oldest.CopyFrom(_in_hand(min(mine, key=lambda each: int(each.row.started))))
        found.append(engine)
    return found


def _pools(capacity: Mapping[str, int], held: Sequence[_Out]) -> list[mesh_pb2.PoolLoad]:
    running = Counter(each.spec.pool for each in held)
    return [
        mesh_pb2.PoolLoad(pool=pool, slots=capacity.get(pool, 0), running=running[pool])
        for pool in sorted({*capacity, *running})
    ]


def _in_hand(each: _Out) -> mesh_pb2.TaskInHand:
    return mesh_pb2.TaskInHand(
        operation_id=each.row.operation_id,
        cluster_name=each.cluster_name,
        task_key=each.spec.key,
        title=each.spec.title,
        instance=each.spec.instance,
        start_time=timestamp(each.row.started),
    )


def _operations(
    connection: Connection,
    chosen: Sequence[Operation],
    owners: Mapping[str, str],
    out: Sequence[_Out],
    mesh: MeshFacts,
) -> list[mesh_pb2.OperationInHand]:
    ids = [each.id for each in chosen]
    tasks: dict[str, list[TaskFacts]] = defaultdict(list)
    for each in out:
        tasks[each.row.operation_id].append(_task_facts(each.row, each.spec))
    for row in connection.execute(_of(ids, Task.STATE_PENDING, *_TASK)):
        spec = operation_pb2.TaskSpec.FromString(row.spec)
        tasks[row.operation_id].append(_task_facts(row, spec))
    succeeded: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(_of(ids, Task.STATE_SUCCEEDED, "key", "ended")):
        succeeded[row.operation_id][row.key] = row.ended
    return [
        mesh_pb2.OperationInHand(
            operation=each,
            scheduler_id=owners[each.id],
            waits=waits_of(
                OperationFacts(each, owners[each.id], tasks[each.id], succeeded[each.id]), mesh
            ),
        )
        for each in chosen
    ]


def _of(ids: Sequence[str], state: Task.State.ValueType, *names: str) -> Select[Any]:
    table = schema.task
    query = select(*_columns("operation_id", *names))
    query = query.where(table.c.operation_id.in_(ids), table.c.state == state)
    return query.order_by(table.c.created, table.c.position)


def _projects(
    open_rows: Rows, told: Iterable[mesh_pb2.OperationInHand], out: Sequence[_Out]
) -> list[mesh_pb2.ProjectLoad]:
    waits: dict[str, list[mesh_pb2.Wait]] = defaultdict(list)
    for each in told:
        waits[each.operation.project_id].extend(each.waits)
    running = Counter(each.row.project_id for each in out)
    found = [
        mesh_pb2.ProjectLoad(
            project_id=project_id,
            operations=count,
            running_tasks=running[project_id],
            ready_tasks=sum(each.tasks for each in waits[project_id] if each.reason in READY),
            oldest_wait=oldest(waits[project_id]),
        )
        for project_id, count in Counter(row.project_id for row in open_rows).items()
    ]
    return sorted(found, key=_longest_first)


def _longest_first(each: mesh_pb2.ProjectLoad) -> tuple[int, str]:
    since = each.oldest_wait.since_time.ToMicroseconds() if each.HasField("oldest_wait") else 2**62
    return since, each.project_id
