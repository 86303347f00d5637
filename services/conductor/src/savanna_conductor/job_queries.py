"""Reading jobs and what they wrote.

Plain functions on one snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.job.v1 import job_pb2
from savanna_conductor import catalog_queries, ownership, queries
from savanna_conductor.store import schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from savanna.conductor.v1 import facts_service_pb2

Job = job_pb2.Job
_USUAL_OUTPUT = 2**20
_MOST_OUTPUT = 4 * 2**20
"""Bytes of output in one answer."""


def jobs(connection: Connection, names: Sequence[messages.OwnedName]) -> list[Job]:
    """Read jobs, one for each name; an empty one where there is none that the project may see."""
    table = schema.job
    ids = {each.id for each in names if ownership.is_storable(each.id)}
    query = select(table.c.id, table.c.project_id, table.c.is_public, table.c.body)
    rows = {row.id: row for row in connection.execute(query.where(table.c.id.in_(ids)))}
    answers = []
    for name in names:
        row = rows.get(name.id)
        seen = row is not None and (row.project_id == name.project_id or row.is_public)
        answers.append(Job.FromString(row.body) if row is not None and seen else Job())
    return answers


def job(connection: Connection, name: messages.OwnedName) -> Job:
    """Read a job.

    Raises ``NotFound``.
    """
    found = jobs(connection, [name])[0]
    if not found.id:
        raise ownership.missing("job", name.id)
    return found


def list_jobs(connection: Connection, request: messages.ListJobsRequest) -> tuple[list[Job], str]:
    """Read a page of jobs, oldest first, and the token of the next."""
    table = schema.job
    query = select(table.c.id, table.c.created, table.c.body).where(
        ownership.is_visible_to(request.project_id, table)
    )
    if request.cluster_id:
        query = query.where(table.c.cluster_id == request.cluster_id)
    rows, token = queries.page(connection, query, table, request.page_size, request.page_token)
    return [Job.FromString(row.body) for row in rows], token


def output(
    connection: Connection, request: messages.ReadJobOutputRequest
) -> messages.ReadJobOutputResponse:
    """Read kept output from a position, and the job as it stood then.

    Raises ``NotFound`` and ``InvalidArgument``.
    """
    if request.offset < 0 or request.limit < 0:
        raise InvalidArgument("offset and limit must not be negative", reason="OFFSET_INVALID")
    answer = messages.ReadJobOutputResponse(job=job(connection, request.name))
    limit = min(request.limit or _USUAL_OUTPUT, _MOST_OUTPUT)
    stream = request.stream or job_pb2.OutputChunk.STREAM_STDOUT
    table = schema.job_output
    kept = (table.c.job_id == request.name.id) & (table.c.stream == stream)
    first = select(func.max(table.c.position)).where(kept, table.c.position <= request.offset)
    start = connection.execute(first).scalar_one()
    if start is None:
        return answer
    query = select(table.c.data).where(
        kept, table.c.position >= start, table.c.position < request.offset + limit
    )
    rows = connection.execute(query.order_by(table.c.position)).scalars()
    data = b"".join(bytes(each) for each in rows)
    skipped = request.offset - start
    answer.data = data[skipped : skipped + limit]
    return answer


def add_to_facts(connection: Connection, answer: facts_service_pb2.GetPlanFactsResponse) -> None:
    """Add what a plan needs of the job that an operation runs: the job, its template and its
    programs."""
    query = select(schema.job.c.body).where(schema.job.c.id == answer.operation.job_id)
    body = connection.execute(query).scalar_one_or_none()
    if body is None:
        return
    answer.job.ParseFromString(body)
    template, binaries = catalog_queries.programs(connection, answer.job.job_template_id)
    if template is not None:
        answer.job_template.CopyFrom(template)
    answer.job_binaries.extend(binaries)
