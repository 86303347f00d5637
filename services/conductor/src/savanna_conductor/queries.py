"""Reading: clusters, operations, plans' facts, the journal.

Plain functions on one snapshot.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, or_, select

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2, facts_service_pb2
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert
from savanna_conductor.store import schema
from savanna_kit.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row, Select, Table

MOST_ON_A_PAGE = 1000


def clusters(
    connection: Connection, names: Sequence[cluster_service_pb2.OwnedName]
) -> list[cluster_pb2.Cluster]:
    """Read clusters, one for each name; an empty one where there is none that the project may
    see."""
    table = schema.cluster
    rows = connection.execute(select(table).where(table.c.id.in_({each.id for each in names})))
    found = {each.id: each for each in with_instances(connection, rows.all())}
    answers = []
    for name in names:
        cluster = found.get(name.id)
        seen = cluster is not None and (cluster.project_id == name.project_id or cluster.is_public)
        answers.append(cluster if cluster is not None and seen else cluster_pb2.Cluster())
    return answers


def with_instances(
    connection: Connection, rows: Sequence[Row[Any]], *, hidden: bool = False
) -> list[cluster_pb2.Cluster]:
    """Read the instances of clusters and put both together."""
    table = schema.instance
    mine: dict[str, list[Row[Any]]] = defaultdict(list)
    for each in connection.execute(
        select(table).where(table.c.cluster_id.in_([r.id for r in rows]))
    ):
        mine[each.cluster_id].append(each)
    return [convert.cluster(row, mine[row.id], hidden=hidden) for row in rows]


def list_clusters(
    connection: Connection, request: cluster_service_pb2.ListClustersRequest
) -> tuple[list[cluster_pb2.Cluster], str]:
    """Read a page of clusters, oldest first, and the token of the next."""
    table = schema.cluster
    query = select(table).where(
        or_(table.c.project_id == request.project_id, table.c.is_public.is_(True))
    )
    for name in ("name", "plugin_name", "plugin_version"):
        if getattr(request, name):
            query = query.where(table.c[name] == getattr(request, name))
    rows, token = page(connection, query, table, request.page_size, request.page_token)
    return with_instances(connection, rows), token


def page(
    connection: Connection,
    query: Select[Any],
    table: Table,
    size: int,
    token: str,
    *,
    newest_first: bool = False,
) -> tuple[Sequence[Row[Any]], str]:
    """Read a page in order of time and id, and the token of the next.

    Raises ``InvalidArgument``.
    """
    if size < 0:
        raise InvalidArgument("page_size must not be negative", reason="PAGE_SIZE_INVALID")
    limit = min(size or MOST_ON_A_PAGE, MOST_ON_A_PAGE)
    if token:
        created, last = _read_token(token)
        newer = table.c.created < created if newest_first else table.c.created > created
        later = table.c.id < last if newest_first else table.c.id > last
        query = query.where(or_(newer, and_(table.c.created == created, later)))
    order = (
        (table.c.created.desc(), table.c.id.desc())
        if newest_first
        else (table.c.created, table.c.id)
    )
    rows = connection.execute(query.order_by(*order).limit(limit + 1)).all()
    if len(rows) <= limit:
        return rows, ""
    last_row = rows[limit - 1]
    return rows[:limit], _write_token(last_row.created, last_row.id)


def _write_token(created: int, last: str) -> str:
    return base64.urlsafe_b64encode(f"{created}/{last}".encode()).decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        created, _, last = base64.urlsafe_b64decode(token).decode().partition("/")
        return int(created), last
    except ValueError as error:
        raise InvalidArgument(
            "page_token is not one that was given out: begin the listing anew",
            reason="PAGE_TOKEN_INVALID",
        ) from error


def operation(connection: Connection, operation_id: str) -> operation_pb2.Operation:
    """Read an operation with its counts.

    Raises ``NotFound``.
    """
    table = schema.operation
    row = connection.execute(select(table).where(table.c.id == operation_id)).one_or_none()
    if row is None:
        raise NotFound(f"there is no operation {operation_id}", reason="OPERATION_NOT_FOUND")
    return counted(connection, [row])[0]


def counted(connection: Connection, rows: Sequence[Row[Any]]) -> list[operation_pb2.Operation]:
    """Give operations with the numbers of their tasks by state."""
    table = schema.task
    query = (
        select(table.c.operation_id, table.c.state, func.count())
        .where(table.c.operation_id.in_([row.id for row in rows]))
        .group_by(table.c.operation_id, table.c.state)
    )
    names = {
        operation_pb2.Task.STATE_ASSIGNED: "running",
        operation_pb2.Task.STATE_SUCCEEDED: "succeeded",
        operation_pb2.Task.STATE_FAILED: "failed",
        operation_pb2.Task.STATE_SKIPPED: "skipped",
    }
    messages = {row.id: convert.operation(row) for row in rows}
    for operation_id, state, number in connection.execute(query):
        counts = messages[operation_id].tasks
        counts.total += number
        if state in names:
            setattr(counts, names[state], number)
    return list(messages.values())


def tasks(connection: Connection, operation_ids: Iterable[str]) -> list[operation_pb2.Task]:
    """Read all tasks of operations, in the order in which they were stored."""
    table = schema.task
    query = select(table).where(table.c.operation_id.in_(list(operation_ids)))
    rows = connection.execute(query.order_by(table.c.created, table.c.position))
    return [convert.task(row) for row in rows]


def history(connection: Connection, operation_id: str) -> list[operation_pb2.TaskHistory]:
    """Read the tasks of an operation without bodies, and their attempts from the journal."""
    attempts: dict[str, dict[int, operation_pb2.Attempt]] = defaultdict(dict)
    table = schema.journal
    query = select(table.c.body).where(table.c.operation_id == operation_id)
    for body in connection.execute(query.order_by(table.c.sequence)).scalars():
        _note_attempt(attempts, operation_pb2.JournalEntry.FromString(body))
    answers = []
    for task in tasks(connection, [operation_id]):
        task.spec.ClearField("body")
        answers.append(
            operation_pb2.TaskHistory(task=task, attempts=attempts.get(task.id, {}).values())
        )
    return answers


def _note_attempt(
    attempts: dict[str, dict[int, operation_pb2.Attempt]], entry: operation_pb2.JournalEntry
) -> None:
    kinds = operation_pb2.JournalEntry
    if entry.kind == kinds.KIND_TASK_ASSIGNED:
        attempts[entry.task_id][entry.epoch] = operation_pb2.Attempt(
            epoch=entry.epoch, engine_id=entry.engine_id, start_time=entry.time
        )
    elif entry.kind in (kinds.KIND_TASK_ENDED, kinds.KIND_TASK_RETRIED):
        attempt = attempts[entry.task_id].setdefault(
            entry.epoch, operation_pb2.Attempt(epoch=entry.epoch, engine_id=entry.engine_id)
        )
        attempt.end_time.CopyFrom(entry.time)
        attempt.outcome = entry.outcome
        if entry.HasField("failure"):
            attempt.failure.CopyFrom(entry.failure)


def plan_facts(connection: Connection, operation_id: str) -> facts_service_pb2.GetPlanFactsResponse:
    """Read everything that a plan needs.

    Raises ``NotFound``.
    """
    answer = facts_service_pb2.GetPlanFactsResponse(operation=operation(connection, operation_id))
    table = schema.cluster
    query = select(table).where(table.c.id == answer.operation.cluster_id)
    found = with_instances(connection, connection.execute(query).all(), hidden=True)
    if not found:
        raise NotFound("the cluster of the operation is gone", reason="CLUSTER_NOT_FOUND")
    answer.cluster.CopyFrom(found[0])
    for task in tasks(connection, [operation_id]):
        summary = answer.tasks.add(
            key=task.spec.key, instance=task.spec.instance, state=task.state, kind=task.spec.kind
        )
        if task.HasField("failure"):
            summary.failure.CopyFrom(task.failure)
    if answer.operation.job_id:
        job_table = schema.job
        body = connection.execute(
            select(job_table.c.body).where(job_table.c.id == answer.operation.job_id)
        ).scalar_one_or_none()
        if body is not None:
            answer.job.CopyFrom(job_pb2.Job.FromString(body))
    return answer


def access(
    connection: Connection, cluster_id: str, names: Sequence[str]
) -> tuple[list[cluster_pb2.Instance], bytes]:
    """Read instances of a cluster and its encrypted private key.

    Raises ``NotFound``.
    """
    table = schema.instance
    key = connection.execute(
        select(schema.cluster.c.private_key).where(schema.cluster.c.id == cluster_id)
    ).scalar_one_or_none()
    if key is None:
        raise NotFound(f"there is no cluster {cluster_id}", reason="CLUSTER_NOT_FOUND")
    query = select(table.c.body).where(
        table.c.cluster_id == cluster_id,
        table.c.state != cluster_pb2.Instance.STATE_DELETED,
    )
    if names:
        query = query.where(table.c.name.in_(list(names)))
    bodies = connection.execute(query.order_by(table.c.name)).scalars()
    return [cluster_pb2.Instance.FromString(body) for body in bodies], key


def journal_after(
    connection: Connection,
    request: cluster_service_pb2.WatchJournalRequest,
    sequence: int,
    limit: int,
) -> list[operation_pb2.JournalEntry]:
    """Read entries after a position.

    The counter is taken last by writers, so none can appear before one that is seen.
    """
    table = schema.journal
    query = select(table.c.body).where(
        table.c.sequence > sequence, table.c.project_id == request.project_id
    )
    if request.cluster_id:
        query = query.where(table.c.cluster_id == request.cluster_id)
    if request.operation_id:
        query = query.where(table.c.operation_id == request.operation_id)
    bodies = connection.execute(query.order_by(table.c.sequence).limit(limit)).scalars()
    return [operation_pb2.JournalEntry.FromString(body) for body in bodies]
