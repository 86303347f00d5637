"""Plans of jobs: put things in place, start the program once, look after it, tell how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.engine.v1.step_pb2 import StepBody
from savanna.job.v1.job_pb2 import Job, JobFacts
from savanna.operation.v1.operation_pb2 import Failure, Operation, TaskSpec
from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Answer, Limits, Refusal
from savanna_engine.planner.situation import evidence

if TYPE_CHECKING:
    from savanna.plugin.v1.plugin_service_pb2 import Step
    from savanna_engine.planner.situation import Situation

_ENDED = {
    Job.STATE_SUCCEEDED: Operation.STATE_SUCCEEDED,
    Job.STATE_DONE_WITH_ERROR: Operation.STATE_FAILED,
    Job.STATE_FAILED: Operation.STATE_FAILED,
    Job.STATE_KILLED: Operation.STATE_CANCELLED,
}


def question(situation: Situation) -> PlanRequest | None:
    """Say what to ask the plugin; None when the job is over or is to end."""
    over = situation.facts.job.state in _ENDED or situation.failed_tasks
    if over or situation.operation.cancel_requested:
        return None
    facts = situation.facts
    return PlanRequest(
        goal=Operation.GOAL_RUN_JOB,
        cluster=situation.cluster,
        job=facts.job,
        job_template=facts.job_template,
        job_binaries=facts.job_binaries,
    )


def decide(situation: Situation, limits: Limits, reply: PlanResponse | Refusal | None) -> Answer:
    """Turn the plugin's steps into tasks, stop the program, or tell how it ended."""
    job = situation.facts.job
    if job.state in _ENDED:
        return _tell(situation, job)
    if situation.operation.cancel_requested:
        return _stop(situation)
    if situation.failed_tasks:
        return _fail(evidence(situation))
    if not isinstance(reply, PlanResponse):
        message = reply.message if reply is not None else "the plugin gave no plan"
        return _fail(Failure(reason="PLUGIN_REFUSED", message=message))
    answer = Answer()
    for step in reply.steps:
        answer.specs.extend(_tasks(situation, step, limits))
    answer.specs = [each for each in answer.specs if each.key not in situation.tasks]
    return answer


def _tasks(situation: Situation, step: Step, limits: Limits) -> list[TaskSpec]:
    cluster = situation.cluster
    if not step.HasField("run_job"):
        return [specs.script(cluster, step, limits, key=step.key, needs=list(step.needs))]
    start = _body(situation)
    start.start_job.instance_name = step.instance
    start.start_job.script.CopyFrom(step.run_job)
    start.start_job.run_key = step.key
    start.start_job.operation_id = situation.operation.id
    wait = _body(situation)
    wait.await_job.instance_name = step.instance
    wait.await_job.run_key = step.key
    wait.await_job.operation_id = situation.operation.id
    wait.await_job.job_id = situation.facts.job.id
    title = step.title or "Run the job"
    return [
        TaskSpec(
            key=f"{step.key}/start",
            kind="start_job",
            pool="ssh",
            title=title,
            instance=step.instance,
            needs=step.needs,
            body=start.SerializeToString(deterministic=True),
            timeout=specs.seconds(limits.script_timeout),
            retry=step.retry if step.HasField("retry") else None,
        ),
        TaskSpec(
            key=f"{step.key}/await",
            kind="await_job",
            pool="ssh",
            title=title,
            instance=step.instance,
            needs=[f"{step.key}/start"],
            body=wait.SerializeToString(deterministic=True),
            timeout=specs.seconds(120),
        ),
    ]


def _tell(situation: Situation, job: Job) -> Answer:
    """End the operation as the job ended."""
    conclusion = Conclusion(state=_ENDED[job.state])
    if conclusion.state == Operation.STATE_FAILED:
        conclusion.failure.reason = "JOB_FAILED"
        conclusion.failure.message = job.status_description or "the program failed"
        if job.HasField("exit_code"):
            conclusion.failure.exit_code = job.exit_code
    elif job.state == Job.STATE_SUCCEEDED and situation.operation.cancel_requested:
        # It was over before the wish to end it arrived.
        conclusion.state = Operation.STATE_SUCCEEDED
    return Answer(conclusion=conclusion)


def _fail(failure: Failure) -> Answer:
    facts = JobFacts(state=Job.STATE_FAILED, status_description=failure.message)
    answer = Answer(conclusion=Conclusion(state=Operation.STATE_FAILED, failure=failure))
    answer.facts.job = facts.SerializeToString()
    return answer


def _stop(situation: Situation) -> Answer:
    """Stop what was started, then say that it was killed."""
    answer = Answer()
    for task in situation.facts.tasks:
        # Also a start that was skipped: it may have been under way when it was stopped.
        run_key = task.key.removesuffix("/start")
        key = f"stop/{run_key}"
        if task.kind == "start_job" and key not in situation.tasks:
            answer.specs.append(_stop_task(situation, task.instance, run_key, key))
    if answer.specs or any(True for _ in situation.open_keys()):
        return answer
    told = "cancelled by wish of the user"
    for task in situation.failed_tasks:
        if task.kind == "stop_job":
            told += f"; {task.instance} did not answer when it was to be stopped there"
    facts = JobFacts(state=Job.STATE_KILLED, status_description=told)
    answer.facts.job = facts.SerializeToString()
    answer.conclusion = Conclusion(state=Operation.STATE_CANCELLED)
    return answer


def _stop_task(situation: Situation, instance: str, run_key: str, key: str) -> TaskSpec:
    body = _body(situation)
    body.stop_job.instance_name = instance
    body.stop_job.run_key = run_key
    body.stop_job.operation_id = situation.operation.id
    body.stop_job.job_id = situation.facts.job.id
    return TaskSpec(
        key=key,
        kind="stop_job",
        pool="ssh",
        title="Stop the job",
        instance=instance,
        body=body.SerializeToString(deterministic=True),
        timeout=specs.seconds(60),
    )


def _body(situation: Situation) -> StepBody:
    return StepBody(cluster_id=situation.cluster.id, project_id=situation.cluster.project_id)
