"""What tasks teach in a walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Facts
from savanna.engine.v1.step_pb2 import StepBody
from savanna.job.v1.job_pb2 import Job, JobFacts

if TYPE_CHECKING:
    from savanna.operation.v1.operation_pb2 import TaskSpec


def taught(spec: TaskSpec, exit_code: int) -> Facts:
    """Give what a task that succeeds teaches; ``exit_code`` is that of a job."""
    body = StepBody.FromString(spec.body)
    facts = Facts()
    if body.reaches:
        known = facts.instances.add(name=spec.instance, state=body.reaches)
        if spec.kind in ("create_server", "await_server"):
            number = sum(spec.instance.encode()) % 200 + 2
            known.internal_ip = known.management_ip = f"198.51.100.{number}"
    if spec.kind == "start_job":
        facts.job = JobFacts(state=Job.STATE_RUNNING).SerializeToString()
    if spec.kind == "await_job":
        ended = Job.STATE_DONE_WITH_ERROR if exit_code else Job.STATE_SUCCEEDED
        facts.job = JobFacts(state=ended, exit_code=exit_code).SerializeToString()
    return facts


def learn_job(job: Job, facts: Facts) -> None:
    """Write into a job what a task has taught of it."""
    news = JobFacts.FromString(facts.job)
    job.state = news.state
    job.status_description = news.status_description
    if news.HasField("exit_code"):
        job.exit_code = news.exit_code
