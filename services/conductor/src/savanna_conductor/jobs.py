"""Jobs: what they become, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction

Job = job_pb2.Job
ENDED = (Job.STATE_SUCCEEDED, Job.STATE_DONE_WITH_ERROR, Job.STATE_FAILED, Job.STATE_KILLED)
MAX_OUTPUT = 16 * 2**20
"""Bytes kept of each stream of a job."""


def apply_facts(
    transaction: Transaction, operation: operation_pb2.Operation, facts: job_pb2.JobFacts
) -> None:
    """Apply what was learnt of a running job.

    A state never goes back; kept output is not kept twice.
    """
    job = _read(transaction, operation.job_id)
    if job is None:
        return
    before = job.state
    if facts.state and job.state not in ENDED:
        job.state = facts.state
    if facts.HasField("exit_code"):
        job.exit_code = facts.exit_code
    job.engine_job_id = facts.engine_job_id or job.engine_job_id
    job.status_description = facts.status_description or job.status_description
    if job.state == Job.STATE_RUNNING and not job.HasField("start_time"):
        job.start_time.FromMicroseconds(transaction.now)
    for chunk in facts.chunks:
        _keep(transaction, job, chunk)
    _settle(transaction, operation, job, before)


def operation_ended(transaction: Transaction, operation: operation_pb2.Operation) -> None:
    """Give a job whose operation has ended an end too, if it has none yet."""
    job = _read(transaction, operation.job_id)
    if job is None:
        return
    before = job.state
    if job.state not in ENDED:
        cancelled = operation.state == operation_pb2.Operation.STATE_CANCELLED
        job.state = Job.STATE_KILLED if cancelled else Job.STATE_FAILED
        job.status_description = operation.failure.message or job.status_description
    _settle(transaction, operation, job, before)
    table = schema.job
    transaction.connection.execute(
        delete(table).where(table.c.id == operation.job_id, table.c.remove_at_end.is_(True))
    )


def cluster_removed(transaction: Transaction, cluster_id: str) -> None:
    """Keep the jobs of a cluster that is gone, without it."""
    table = schema.job
    for row in transaction.connection.execute(
        select(table).where(table.c.cluster_id == cluster_id)
    ):
        job = Job.FromString(row.body)
        job.cluster_id = ""
        _save(transaction, job)


def _settle(
    transaction: Transaction,
    operation: operation_pb2.Operation,
    job: Job,
    before: Job.State.ValueType,
) -> None:
    if job.state in ENDED and not job.HasField("end_time"):
        job.end_time.FromMicroseconds(transaction.now)
    job.update_time.FromMicroseconds(transaction.now)
    _save(transaction, job)
    if job.state != before:
        transaction.tell(
            operation_pb2.JournalEntry(
                project_id=job.project_id,
                cluster_id=operation.cluster_id,
                operation_id=operation.id,
                kind=operation_pb2.JournalEntry.KIND_JOB_CHANGED,
                state=Job.State.Name(job.state).removeprefix("STATE_"),
                message=job.status_description,
            )
        )


def _keep(transaction: Transaction, job: Job, chunk: job_pb2.OutputChunk) -> None:
    standard = chunk.stream == job_pb2.OutputChunk.STREAM_STDOUT
    kept = job.output_size if standard else job.error_size
    data = chunk.data[max(0, kept - chunk.offset) :]
    if len(data) > MAX_OUTPUT - kept:
        job.output_truncated = True
        data = data[: MAX_OUTPUT - kept]
    if not data or chunk.offset > kept:
        return
    transaction.connection.execute(
        insert(schema.job_output).values(
            job_id=job.id, stream=chunk.stream, position=kept, data=data
        )
    )
    if standard:
        job.output_size = kept + len(data)
    else:
        job.error_size = kept + len(data)


def _read(transaction: Transaction, job_id: str) -> Job | None:
    query = select(schema.job.c.body).where(schema.job.c.id == job_id)
    body = transaction.connection.execute(query).scalar_one_or_none()
    return None if body is None else Job.FromString(body)


def _save(transaction: Transaction, job: Job) -> None:
    transaction.connection.execute(
        update(schema.job)
        .where(schema.job.c.id == job.id)
        .values(state=job.state, cluster_id=job.cluster_id, body=job.SerializeToString())
    )
