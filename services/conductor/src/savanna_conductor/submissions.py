"""Jobs as users ask for them: stored with the operation that runs them, cancelled, removed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import insert, select, update

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import catalog_service_pb2 as catalog_messages
from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import (
    catalog,
    catalog_queries,
    convert,
    jobs,
    kinds,
    operations,
    ownership,
    references,
    requests,
)
from savanna_conductor.store import schema
from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from sqlalchemy import Row

    from savanna_conductor.store.transaction import Transaction

Cluster = cluster_pb2.Cluster
Job = job_pb2.Job
Operation = operation_pb2.Operation

NOUN = "job"
_OUTPUT_ONLY: Final = (
    "state",
    "status_description",
    "exit_code",
    "engine_job_id",
    "start_time",
    "end_time",
    "output_size",
    "error_size",
    "output_truncated",
    "update_time",
)


def create(transaction: Transaction, request: messages.CreateJobRequest) -> str:
    """Store a job and the operation that runs it; gives its id.

    The same request gives the same job. Raises ``NotFound`` and ``FailedPrecondition``.
    """
    project_id = request.project_id
    made = requests.find(
        transaction, "CreateJob", project_id, request.request_id, known_only=request.known_only
    )
    if made is not None:
        return made
    cluster = _usable_cluster(transaction, project_id, request.job.cluster_id)
    template_id = request.job.job_template_id
    _check_programs(transaction, project_id, template_id)
    job = Job()
    job.CopyFrom(request.job)
    for name in _OUTPUT_ONLY:
        job.ClearField(name)
    job.id = str(uuid.uuid4())
    job.project_id = project_id
    job.state = Job.STATE_PENDING
    job.create_time.FromMicroseconds(transaction.now)
    operation = operations.create(
        transaction,
        Operation(
            project_id=project_id,
            cluster_id=cluster.id,
            cluster_name=cluster.name,
            job_id=job.id,
            goal=Operation.GOAL_RUN_JOB,
        ),
    )
    job.operation_id = operation.id
    job.status_description = operation.held_reason
    _insert(transaction, job)
    template = (kinds.JOB_TEMPLATE.number, template_id)
    references.note(transaction, (references.JOB, job.id), [template])
    requests.remember(transaction, "CreateJob", project_id, request.request_id, job.id)
    return job.id


def _usable_cluster(transaction: Transaction, project_id: str, cluster_id: str) -> Row[Any]:
    table = schema.cluster
    row = None
    if ownership.is_storable(cluster_id):
        query = select(table).where(
            table.c.id == cluster_id, ownership.is_visible_to(project_id, table)
        )
        row = transaction.connection.execute(query).one_or_none()
    if row is None:
        raise ownership.missing("cluster", cluster_id)
    if row.project_id != project_id:
        raise FailedPrecondition(
            f"cluster '{row.name}' belongs to another project, which alone runs jobs on it",
            reason="CLUSTER_NOT_OWNED",
        )
    if row.state in (Cluster.STATE_DELETING, Cluster.STATE_ERROR):
        raise FailedPrecondition(
            f"cluster '{row.name}' can not run jobs any more: use another",
            reason="CLUSTER_NOT_USABLE",
        )
    return row


def _check_programs(transaction: Transaction, project_id: str, template_id: str) -> None:
    kind = kinds.JOB_TEMPLATE.number
    row = catalog.check_exists(transaction.connection, project_id, kind, template_id)
    template = catalog_messages.Item.FromString(row.body).job_template
    _, binaries = catalog_queries.programs(transaction.connection, template_id)
    by_id = {each.id: each for each in binaries}
    for binary_id in (*template.mains, *template.libs):
        binary = by_id.get(binary_id)
        if binary is None or not (binary.project_id == project_id or binary.is_public):
            raise ownership.missing(kinds.JOB_BINARY.noun, binary_id)
        if binary.url.startswith(kinds.INTERNAL_URL) and not binary.size:
            raise FailedPrecondition(
                f"job binary '{binary.name}' has no bytes: upload them first",
                reason="JOB_BINARY_EMPTY",
            )


def _insert(transaction: Transaction, job: Job) -> None:
    transaction.connection.execute(
        insert(schema.job).values(
            id=job.id,
            project_id=job.project_id,
            cluster_id=job.cluster_id,
            state=job.state,
            operation_id=job.operation_id,
            is_public=job.is_public,
            remove_at_end=False,
            created=transaction.now,
            body=job.SerializeToString(),
        )
    )


def cancel(transaction: Transaction, name: messages.OwnedName) -> None:
    """Ask for the end of a job; one that has ended stays as it is.

    Raises ``NotFound``.
    """
    _cancel(transaction, _own(transaction, name))


def _cancel(transaction: Transaction, row: Row[Any]) -> None:
    operation = _operation(transaction, row)
    if operation.state in operations.OPEN and row.state not in jobs.ENDED:
        operations.request_cancel(transaction, operation)


def remove(transaction: Transaction, name: messages.OwnedName) -> None:
    """Remove a job; one that runs is cancelled first and removed when it has ended.

    Raises ``NotFound`` and ``FailedPrecondition``.
    """
    row = _own(transaction, name)
    if Job.FromString(row.body).is_protected:
        raise FailedPrecondition(
            f"job {row.id} is protected: set is_protected to false first", reason="JOB_PROTECTED"
        )
    if _operation(transaction, row).state not in operations.OPEN:
        jobs.remove(transaction, row.id)
        return
    table = schema.job
    transaction.connection.execute(
        update(table).where(table.c.id == row.id).values(remove_at_end=True)
    )
    _cancel(transaction, row)


def _own(transaction: Transaction, name: messages.OwnedName) -> Row[Any]:
    return ownership.own_row(
        transaction.connection, schema.job, name.project_id, name.id, noun=NOUN
    )


def _operation(transaction: Transaction, row: Row[Any]) -> Operation:
    query = select(schema.operation).where(schema.operation.c.id == row.operation_id)
    return convert.operation(transaction.connection.execute(query).one())
