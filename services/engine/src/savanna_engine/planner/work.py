"""Plans of jobs: put things in place, start the program once, look after it, tell how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna.engine.v1.step_pb2 import StepBody
from savanna.job.v1.job_pb2 import Job, JobFacts
from savanna.operation.v1.operation_pb2 import Failure, Operation, RetryPolicy, Task, TaskSpec
from savanna.plugin.v1.plugin_service_pb2 import PlanRequest, PlanResponse
from savanna.scheduler.v1.scheduler_service_pb2 import Conclusion
from savanna_engine.planner import replies, specs
from savanna_engine.planner.answer import Answer, Limits, Refusal
from savanna_engine.planner.nodes import working
from savanna_engine.planner.situation import evidence, too_late

if TYPE_CHECKING:
    from savanna.plugin.v1.plugin_service_pb2 import Step
    from savanna_engine.planner.situation import Situation

_LOOKS_WITHOUT_ANSWER = 10
_ENDED = {
    Job.STATE_SUCCEEDED: Operation.STATE_SUCCEEDED,
    Job.STATE_DONE_WITH_ERROR: Operation.STATE_FAILED,
    Job.STATE_FAILED: Operation.STATE_FAILED,
    Job.STATE_KILLED: Operation.STATE_CANCELLED,
}


def question(situation: Situation) -> PlanRequest | None:
    """Say what to ask the plugin; None when the job is over or is to end."""
    facts = situation.facts
    over = facts.job.state in _ENDED or situation.failed_tasks
    if over or situation.operation.cancel_requested:
        return None
    return PlanRequest(
        goal=Operation.GOAL_RUN_JOB,
        cluster=working(situation.cluster),
        job=facts.job,
        job_template=facts.job_template,
        job_binaries=facts.job_binaries,
    )


def decide(situation: Situation, limits: Limits, reply: PlanResponse | Refusal | None) -> Answer:
    """Turn the plugin's steps into tasks, stop the program, or tell how it ended."""
    job = situation.facts.job
    if job.state in _ENDED:
        # Steps that follow the program are still under way.
        return Answer() if any(situation.open_tasks()) else _tell(situation, job)
    if situation.operation.cancel_requested or situation.failed_tasks:
        return _wind_up(situation, None)
    reply = replies.checked(situation, working(situation.cluster), reply)
    if not isinstance(reply, PlanResponse):
        return _wind_up(situation, reply or Refusal("the plugin gave no plan"))
    answer = Answer()
    after = {each.key: _end_of(each) for each in reply.steps}
    for step in reply.steps:
        needs = [after[each] for each in step.needs]
        answer.specs.extend(_tasks(situation, step, limits, needs))
    answer.specs = [each for each in answer.specs if each.key not in situation.tasks]
    return answer


def _end_of(step: Step) -> str:
    """Name the task with whose success a step has succeeded."""
    return specs.job_keys(step.key)[1] if step.HasField("run_job") else step.key


def _tasks(situation: Situation, step: Step, limits: Limits, needs: list[str]) -> list[TaskSpec]:
    if not step.HasField("run_job"):
        return [specs.script(situation.cluster, step, limits, key=step.key, needs=needs)]
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
    start_key, await_key = specs.job_keys(step.key)
    title = step.title or "Run the job"
    return [
        TaskSpec(
            key=start_key,
            kind="start_job",
            pool="ssh",
            title=title,
            instance=step.instance,
            needs=needs,
            body=start.SerializeToString(deterministic=True),
            timeout=specs.seconds(limits.script_timeout),
            retry=step.retry if step.HasField("retry") else None,
        ),
        TaskSpec(
            key=await_key,
            kind="await_job",
            pool="ssh",
            title=title,
            instance=step.instance,
            needs=[start_key],
            body=wait.SerializeToString(deterministic=True),
            timeout=specs.seconds(120),
            # Counted over the whole life of the program: a silent moment now and then is no end.
            retry=RetryPolicy(max_attempts=_LOOKS_WITHOUT_ANSWER),
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


def _wind_up(situation: Situation, refusal: Refusal | None) -> Answer:
    """Stop what was started, wait until engines have let go of it, then say how it ended."""
    answer = Answer()
    stops = []
    for task in situation.facts.tasks:
        # Also a start that was skipped or failed: it may have been under way when it ended.
        if task.kind == "start_job":
            run_key = task.key.removesuffix("/start")
            stop = situation.again(_stop_task(situation, task.instance, run_key))
            stops.append(stop)
            if stop.key not in situation.tasks and task.state != Task.STATE_ASSIGNED:
                answer.specs.append(stop)
    kept = {each.key for each in stops}
    open_keys = [each.key for each in situation.open_tasks()]
    answer.unwanted.extend(each for each in open_keys if each not in kept)
    stopping = any(each in kept for each in open_keys)
    if answer.specs or stopping or situation.is_busy:
        return answer
    told = "".join(
        f"; {each.instance} did not answer when it was to be stopped there"
        for each in situation.failed_tasks
        if each.kind == "stop_job"
    )
    _say_end(situation, refusal, told, answer)
    return answer


def _say_end(situation: Situation, refusal: Refusal | None, told: str, answer: Answer) -> None:
    if situation.is_cancelled:
        facts = JobFacts(state=Job.STATE_KILLED)
        facts.status_description = "cancelled by wish of the user" + told
        answer.conclusion = Conclusion(state=Operation.STATE_CANCELLED)
    else:
        failure = Failure()
        if situation.operation.deadline_exceeded:
            failure = too_late("job")
        elif refusal is not None:
            failure = Failure(reason=refusal.reason, message=refusal.message)
        else:
            failure.CopyFrom(evidence(situation))
        failure.message += told
        facts = JobFacts(state=Job.STATE_FAILED, status_description=failure.message)
        answer.conclusion = Conclusion(state=Operation.STATE_FAILED, failure=failure)
    answer.facts.job = facts.SerializeToString(deterministic=True)


def _stop_task(situation: Situation, instance: str, run_key: str) -> TaskSpec:
    body = _body(situation)
    body.stop_job.instance_name = instance
    body.stop_job.run_key = run_key
    body.stop_job.operation_id = situation.operation.id
    body.stop_job.job_id = situation.facts.job.id
    return TaskSpec(
        key=f"stop/{run_key}",
        kind="stop_job",
        pool="ssh",
        title="Stop the job",
        instance=instance,
        body=body.SerializeToString(deterministic=True),
        timeout=specs.seconds(60),
    )


def _body(situation: Situation) -> StepBody:
    return StepBody(cluster_id=situation.cluster.id, project_id=situation.cluster.project_id)
