"""Reading: clusters, operations, plans' facts.

Plain functions on one snapshot.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, false, func, or_, select

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import cluster_service_pb2, facts_service_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import archive, convert, ownership
from savanna_conductor.store import schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import BindParameter, ColumnElement, Connection, Row, Select, Table

MOST_ON_A_PAGE = 1000
_CHUNK = 500
_COUNTED = {
    operation_pb2.Task.STATE_ASSIGNED: "running",
    operation_pb2.Task.STATE_SUCCEEDED: "succeeded",
    operation_pb2.Task.STATE_FAILED: "failed",
    operation_pb2.Task.STATE_SKIPPED: "skipped",
}

# Made once: SQLAlchemy puts together and reads results of the same statement for less.
_IDS: BindParameter[str] = bindparam("ids", expanding=True)
_CLUSTERS = select(schema.cluster).where(schema.cluster.c.id.in_(_IDS))
_INSTANCES = select(schema.instance).where(schema.instance.c.cluster_id.in_(_IDS))
_CLUSTER = select(schema.cluster).where(schema.cluster.c.id == bindparam("id"))
_OPERATION = select(schema.operation).where(schema.operation.c.id == bindparam("id"))
_COUNTS = (
    select(schema.task.c.operation_id, schema.task.c.state, func.count())
    .where(schema.task.c.operation_id.in_(_IDS))
    .group_by(schema.task.c.operation_id, schema.task.c.state)
)
_DEPLOYMENT_ID = select(schema.deployment.c.id)


def clusters(
    connection: Connection, names: Sequence[cluster_service_pb2.OwnedName]
) -> list[cluster_pb2.Cluster]:
    """Read clusters, one for each name; an empty one where there is none that the project may
    see."""
    ids = {each.id for each in names if ownership.is_storable(each.id)}
    rows = connection.execute(_CLUSTERS, {"ids": list(ids)})
    found = {each.id: each for each in with_instances(connection, rows.all())}
    answers = []
    for name in names:
        cluster = found.get(name.id)
        seen = cluster is not None and (cluster.project_id == name.project_id or cluster.is_public)
        answers.append(cluster if cluster is not None and seen else cluster_pb2.Cluster())
    return answers


def cluster(connection: Connection, project_id: str, cluster_id: str) -> cluster_pb2.Cluster:
    """Read a cluster.

    Raises ``NotFound``.
    """
    name = cluster_service_pb2.OwnedName(project_id=project_id, id=cluster_id)
    found = clusters(connection, [name])[0]
    if not found.id:
        raise ownership.missing("cluster", cluster_id)
    return found


def with_instances(
    connection: Connection, rows: Sequence[Row[Any]], *, hidden: bool = False
) -> list[cluster_pb2.Cluster]:
    """Read the instances of clusters and put both together."""
    mine: dict[str, list[Row[Any]]] = defaultdict(list)
    for each in connection.execute(_INSTANCES, {"ids": [row.id for row in rows]}):
        mine[each.cluster_id].append(each)
    return [convert.cluster(row, mine[row.id], hidden=hidden) for row in rows]


def list_clusters(
    connection: Connection, request: cluster_service_pb2.ListClustersRequest
) -> tuple[list[cluster_pb2.Cluster], str]:
    """Read a page of clusters, oldest first, and the token of the next."""
    table = schema.cluster
    query = select(table).where(ownership.is_visible_to(request.project_id, table))
    query = filtered(query, table, request)
    rows, token = page(connection, query, table, request.page_size, request.page_token)
    return with_instances(connection, rows), token


def in_chunks(
    connection: Connection, query: Select[Any], column: ColumnElement[str], ids: Iterable[str]
) -> Iterable[Row[Any]]:
    """Read the rows with these ids; databases take only so many in one statement."""
    ordered = sorted(ids)
    for start in range(0, len(ordered), _CHUNK):
        chosen = query.where(column.in_(ordered[start : start + _CHUNK]))
        yield from connection.execute(chosen)


def filtered(query: Select[Any], table: Table, request: Any) -> Select[Any]:  # noqa: ANN401 - any request with these fields
    """Leave what the request names: a name, a plugin, a version of it; empty for all."""
    for name in ("name", "plugin_name", "plugin_version"):
        wanted = getattr(request, name)
        if not ownership.is_storable(wanted):
            query = query.where(false())
        elif wanted:
            query = query.where(table.c[name] == wanted)
    return query


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
        position = int(created)
        if not 0 <= position < 2**63 or not ownership.is_storable(last):
            raise ValueError(token)
        return position, last
    except ValueError as error:
        raise InvalidArgument(
            "page_token is not one that was given out: begin the listing anew",
            reason="PAGE_TOKEN_INVALID",
        ) from error


def operation(connection: Connection, operation_id: str) -> operation_pb2.Operation:
    """Read an operation with its counts.

    Raises ``NotFound``.
    """
    return counted(connection, [operation_row(connection, operation_id)])[0]


def operation_row(connection: Connection, operation_id: str) -> Row[Any]:
    """Read an operation as it is stored.

    Raises ``NotFound``.
    """
    row = None
    if ownership.is_storable(operation_id):
        row = connection.execute(_OPERATION, {"id": operation_id}).one_or_none()
    if row is None:
        raise ownership.missing("operation", operation_id)
    return row


def cluster_row(connection: Connection, cluster_id: str) -> Row[Any] | None:
    """Read a cluster as it is stored; None when it is gone."""
    return connection.execute(_CLUSTER, {"id": cluster_id}).one_or_none()


def own_operation(
    connection: Connection, name: cluster_service_pb2.OwnedName
) -> operation_pb2.Operation:
    """Read an operation of a project with its counts.

    Raises ``NotFound``.
    """
    found = operation(connection, name.id)
    if found.project_id != name.project_id:
        raise ownership.missing("operation", name.id)
    return found


def launch(connection: Connection, cluster_id: str) -> operation_pb2.Operation:
    """Read the operation that a cluster began with."""
    table = schema.operation
    goal = operation_pb2.Operation.GOAL_LAUNCH
    query = select(table).where(table.c.cluster_id == cluster_id, table.c.goal == goal)
    first = query.order_by(table.c.created).limit(1)
    return counted(connection, [connection.execute(first).one()])[0]


def counted(connection: Connection, rows: Sequence[Row[Any]]) -> list[operation_pb2.Operation]:
    """Give operations with the numbers of their tasks by state."""
    messages = {row.id: convert.operation(row) for row in rows}
    for operation_id, state, number in connection.execute(_COUNTS, {"ids": list(messages)}):
        count(messages[operation_id], state, number)
    return list(messages.values())


def count(operation: operation_pb2.Operation, state: int, number: int) -> None:
    """Add so many tasks in a state to the counts of an operation."""
    operation.tasks.total += number
    if name := _COUNTED.get(operation_pb2.Task.State.ValueType(state)):
        setattr(operation.tasks, name, getattr(operation.tasks, name) + number)


def tasks(
    connection: Connection, operation_ids: Iterable[str], *, bodies: bool = False
) -> list[operation_pb2.Task]:
    """Read all tasks of operations, in the order in which they were stored; bodies only for those
    who hand them out, of operations under way."""
    table, ids = schema.task, list(operation_ids)
    columns = [each for each in table.c if bodies or each.name != "body"]
    query = select(*columns).where(table.c.operation_id.in_(ids))
    rows = connection.execute(query.order_by(table.c.created, table.c.position))
    found = [convert.task(row) for row in rows]
    # What is under way is never archived.
    archived = [] if bodies else archive.tasks(connection, ids)
    if not archived:
        return found
    return sorted([*archived, *found], key=lambda each: (_created(each), each.position))


def _created(task: operation_pb2.Task) -> int:
    return task.create_time.ToMicroseconds()


def deployment_id(connection: Connection) -> str:
    """Give the id that everything carries which this deployment makes in a cloud."""
    return str(connection.execute(_DEPLOYMENT_ID).scalar_one())


def known_of(
    connection: Connection, request: facts_service_pb2.ListInstanceIdsRequest
) -> facts_service_pb2.ListInstanceIdsResponse:
    """Read which instances are not deleted, and which clusters are stored, of those asked for."""
    instances, clusters = schema.instance, schema.cluster
    living = select(instances.c.instance_id).where(
        instances.c.state != cluster_pb2.Instance.STATE_DELETED
    )
    found = set(connection.execute(living).scalars())
    if request.instance_ids:
        # All are read first: the ids of instances have no index, and this is asked rarely.
        found.intersection_update(request.instance_ids)
    wanted = {each for each in request.cluster_ids if ownership.is_storable(each)}
    stored = in_chunks(connection, select(clusters.c.id), clusters.c.id, wanted)
    return facts_service_pb2.ListInstanceIdsResponse(
        instance_ids=sorted(found),
        cluster_ids=[each.id for each in stored],
        deployment_id=deployment_id(connection),
    )


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
        raise ownership.missing("cluster", cluster_id)
    query = select(table.c.body).where(
        table.c.cluster_id == cluster_id,
        table.c.state != cluster_pb2.Instance.STATE_DELETED,
    )
    if names:
        query = query.where(table.c.name.in_(list(names)))
    bodies = connection.execute(query.order_by(table.c.name)).scalars()
    return [cluster_pb2.Instance.FromString(body) for body in bodies], key
