"""Jobs: what they become, and what they wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select, update

from savanna.job.v1 import job_pb2
from savanna.operation.v1 import operation_pb2
from savanna_conductor import references, telling
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from savanna_conductor.store.transaction import Transaction

Job = job_pb2.Job
Operation = operation_pb2.Operation
ENDED = (Job.STATE_SUCCEEDED, Job.STATE_DONE_WITH_ERROR, Job.STATE_FAILED, Job.STATE_KILLED)
MAX_OUTPUT = 16 * 2**20
"""Bytes kept of each stream of a job."""


def apply_facts(transaction: Transaction, operation: Operation, facts: job_pb2.JobFacts) -> None:
    """Apply what was learnt of a running job.

    A state never goes back; kept output is not kept twice.
    """
    job = _read(transaction, operation.job_id)
    if job is None:
        return
    before = job.state
    job.state = _later(job.state, facts.state)
    if facts.HasField("exit_code"):
        job.exit_code = facts.exit_code
    job.engine_job_id = facts.engine_job_id or job.engine_job_id
    job.status_description = facts.status_description or job.status_description
    if facts.state == Job.STATE_RUNNING and not job.HasField("start_time"):
        job.start_time.FromMicroseconds(transaction.now)
    for chunk in facts.chunks:
        _keep(transaction, job, chunk)
    _settle(transaction, operation, job, before)


def _later(current: Job.State.ValueType, news: Job.State.ValueType) -> Job.State.ValueType:
    if current in ENDED:
        return current
    # The numbers of states before the end grow with it: pending, running, to be killed.
    return news if news in ENDED else max(current, news)


def operation_released(transaction: Transaction, operation: Operation) -> None:
    """Forget why a job was held: it goes on."""
    job = _read(transaction, operation.job_id)
    if job is not None:
        job.status_description = ""
        _settle(transaction, operation, job, job.state)


def cancel_requested(transaction: Transaction, operation: Operation) -> None:
    """Say that a job is to end."""
    job = _read(transaction, operation.job_id)
    if job is not None:
        before = job.state
        job.state = _later(job.state, Job.STATE_TO_BE_KILLED)
        _settle(transaction, operation, job, before)


def operation_ended(transaction: Transaction, operation: Operation) -> None:
    """Give a job whose operation has ended an end too, if it has none yet; remove it if that was
    asked for."""
    job = _read(transaction, operation.job_id)
    if job is None:
        return
    before = job.state
    if job.state not in ENDED:
        cancelled = operation.state == Operation.STATE_CANCELLED
        job.state = Job.STATE_KILLED if cancelled else Job.STATE_FAILED
        told = "cancelled before it was started" if cancelled else job.status_description
        job.status_description = operation.failure.message or told
    _settle(transaction, operation, job, before)
    query = select(schema.job.c.remove_at_end).where(schema.job.c.id == job.id)
    if transaction.connection.execute(query).scalar_one():
        remove(transaction, job.id)


def remove(transaction: Transaction, job_id: str) -> None:
    """Remove a job and what it wrote."""
    transaction.connection.execute(delete(schema.job).where(schema.job.c.id == job_id))
    references.forget(transaction, (references.JOB, job_id))


def cluster_removed(transaction: Transaction, cluster_id: str) -> None:
    """Keep the jobs of a cluster that is gone, without it."""
    query = select(schema.job.c.body).where(schema.job.c.cluster_id == cluster_id)
    for body in transaction.connection.execute(query).scalars().all():
        job = Job.FromString(body)
        job.cluster_id = ""
        _save(transaction, job)


def _settle(
    transaction: Transaction, operation: Operation, job: Job, before: Job.State.ValueType
) -> None:
    if job.state in ENDED and not job.HasField("end_time"):
        job.end_time.FromMicroseconds(transaction.now)
    job.update_time.FromMicroseconds(transaction.now)
    _save(transaction, job)
    if job.state != before:
        telling.job_changed(transaction, operation, job)


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
