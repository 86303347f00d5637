"""What plans read: they are asked for often, and an operation may have thousands of tasks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, select

from savanna.conductor.v1 import facts_service_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import convert, ownership, queries
from savanna_conductor.store import dialect, schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

Response = facts_service_pb2.GetPlanFactsResponse

_TASK = schema.task
_SUMMARIES = (
    select(_TASK.c.spec, _TASK.c.state, _TASK.c.failure, _TASK.c.ended, _TASK.c.epoch)
    .where(_TASK.c.operation_id == bindparam("id"))
    .order_by(_TASK.c.created, _TASK.c.position)
)


def read(connection: Connection, operation_id: str) -> Response:
    """Read everything that a plan needs, but for what it needs of a job.

    Raises ``NotFound``.
    """
    row = queries.operation_row(connection, operation_id)
    answer = Response(
        operation=convert.operation(row), deployment_id=queries.deployment_id(connection)
    )
    answer.now_time.FromMicroseconds(dialect.now(connection))
    cluster = queries.cluster_row(connection, row.cluster_id)
    if cluster is None:
        raise ownership.missing("cluster", row.cluster_id)
    answer.cluster.CopyFrom(queries.with_instances(connection, [cluster], hidden=True)[0])
    _add_summaries(connection, answer)
    return answer


def _add_summaries(connection: Connection, answer: Response) -> None:
    """Read of all tasks of the operation what a plan may know, and count them."""
    counts: Counter[int] = Counter()
    found = connection.execute(_SUMMARIES, {"id": answer.operation.id})
    for data, state, failure, ended, epoch in found:
        counts[state] += 1
        spec = operation_pb2.TaskSpec.FromString(data)
        summary = answer.tasks.add(
            key=spec.key,
            instance=spec.instance,
            state=state,
            kind=spec.kind,
            needs=spec.needs,
            begun=epoch > 0,
        )
        if failure:
            summary.failure.ParseFromString(failure)
        if ended:
            summary.end_time.FromMicroseconds(ended)
    for state, number in counts.items():
        queries.count(answer.operation, state, number)
