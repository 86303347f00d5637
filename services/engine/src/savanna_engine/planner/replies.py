"""What plugins answer, checked before it is believed: a fault of a plugin is said, never hung
on."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1.plugin_service_pb2 import PlanResponse
from savanna_engine.planner import specs
from savanna_engine.planner.answer import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna.plugin.v1.plugin_service_pb2 import Script, Step
    from savanna_engine.planner.situation import Situation

_LONGEST_KEY = 200
_LARGEST_FILE = 2**20
_LARGEST_STEP = 3 * 2**20
"""So much of a step's bytes that its task surely fits into the conductor's limit of 4 MiB."""

_LARGEST_PLAN = 32 * 2**20
"""So much that the result of a plan surely fits into a message."""

_MOST_STEPS = 100
"""Different steps that plugins may ask for in one operation, for each instance."""

_RESERVED = ("create/", "await/", "delete/", "plan/", "stop/")
_STATES = (Instance.STATE_UNSPECIFIED, Instance.STATE_CONFIGURED, Instance.STATE_READY)


def checked(
    situation: Situation, cluster: Cluster, reply: PlanResponse | Refusal | None
) -> PlanResponse | Refusal | None:
    """Give a plan that can be carried out as it is, and a refusal for one that can not.

    ``cluster`` is the one that the plugin was asked about.
    """
    if not isinstance(reply, PlanResponse):
        return reply
    faults = (
        *_faults(situation.operation.goal, cluster, reply),
        *_faults_of_memory(situation, cluster, reply),
    )
    return faulty(cluster.plugin_name, faults[0]) if faults else reply


def faulty(plugin_name: str, fault: str) -> Refusal:
    """Refuse a plan for a fault of the plugin."""
    return Refusal(
        f"the plan of the plugin '{plugin_name}' can not be carried out: {fault}; "
        "this is a fault of the plugin: report it to those who look after it",
        reason="PLUGIN_FAULT",
    )


def mentioned(step: Step) -> list[str]:
    """List the instances that a step needs to exist: where it runs, and whose address it is
    told."""
    values = script_of(step).environment.values()
    return [step.instance, *sorted({each.address_of for each in values if each.address_of})]


def script_of(step: Step) -> Script:
    """Give what a step runs."""
    return step.run_job if step.HasField("run_job") else step.run_script


def _faults(goal: Operation.Goal.ValueType, cluster: Cluster, reply: PlanResponse) -> Iterator[str]:
    is_job = goal == Operation.GOAL_RUN_JOB
    known = {each.name for group in cluster.node_groups for each in group.instances}
    keys = {each.key for each in reply.steps}
    for step in reply.steps:
        for fault in (
            *_faults_of_key(step),
            *_faults_of_references(step, known, keys),
            *_faults_of_action(step, is_job=is_job),
        ):
            yield f"step '{step.key}' {fault}"
    yield from _repeated(reply.steps)
    if reply.ByteSize() > _LARGEST_PLAN:
        yield f"it has {reply.ByteSize()} bytes, more than 32 MiB: have hosts fetch what is large"
    jobs = sum(each.HasField("run_job") for each in reply.steps)
    if is_job and jobs != 1:
        yield f"it has {jobs} steps that run the job, not one"
    circle = _circle(reply.steps)
    if circle:
        yield f"step '{circle}' waits for itself, by what it needs"


def _faults_of_memory(situation: Situation, cluster: Cluster, reply: PlanResponse) -> Iterator[str]:
    """Compare a plan with what earlier ones asked for."""
    asked = {each.key for each in situation.facts.tasks if each.kind == "run_script"}
    asked |= {each.key for each in reply.steps}
    wanted = sum(len(group.instances) for group in cluster.node_groups)
    most = _MOST_STEPS * max(1, wanted, len(situation.instances))
    if len(asked) > most:
        yield (
            f"it asks for more and more, {len(asked)} different steps so far, more than {most}; "
            "the same facts must give the same keys"
        )
    begun = [each.key for each in situation.facts.tasks if each.kind == "start_job"]
    for step in reply.steps:
        start = specs.job_keys(step.key)[0]
        if step.HasField("run_job") and begun and start not in begun:
            was = begun[0].removesuffix("/start")
            yield (
                f"the step that runs the job was called '{was}' before, and now '{step.key}'; "
                "the same facts must give the same keys"
            )


def _faults_of_key(step: Step) -> Iterator[str]:
    if not step.key or len(step.key) > _LONGEST_KEY:
        yield f"has a key of {len(step.key)} characters, not 1 to {_LONGEST_KEY}"
    if step.key.startswith(_RESERVED) or step.key in (specs.PREPARE, specs.REMOVE):
        yield "has a key that Savanna uses itself"
    if "~" in step.key:
        yield "has a key with '~', which Savanna uses itself"
    if not (step.key + step.title).isprintable():
        yield "has a key or a title with characters that can not be printed"


def _faults_of_references(step: Step, known: set[str], keys: set[str]) -> Iterator[str]:
    for name in mentioned(step):
        if name not in known:
            yield f"speaks of the instance '{name}', which the cluster does not have"
    for need in step.needs:
        if need not in keys:
            yield f"needs '{need}', which is no step of the plan"


def _faults_of_action(step: Step, *, is_job: bool) -> Iterator[str]:
    action = step.WhichOneof("action")
    if action is None:
        yield "does nothing"
    if action == "run_job" and not is_job:
        yield "runs a job, though none is wanted"
    if step.reaches not in _STATES or (is_job and step.reaches):
        yield f"may not reach the state {Instance.State.Name(step.reaches)}"
    for each in script_of(step).files:
        if len(each.content) > _LARGEST_FILE:
            yield f"has the file {each.path} with {len(each.content)} bytes, more than 1 MiB"
    if step.ByteSize() > _LARGEST_STEP:
        yield f"has {step.ByteSize()} bytes, more than 3 MiB"


def _repeated(steps: Iterable[Step]) -> Iterator[str]:
    names: list[str] = []
    for each in steps:
        names += specs.job_keys(each.key) if each.HasField("run_job") else [each.key]
    for name, number in Counter(names).items():
        if number > 1:
            yield f"the key '{name}' is used {number} times"


def _circle(steps: Iterable[Step]) -> str:
    """Find a step that can never run because what it needs waits for it; empty when all can."""
    missing = {each.key: len(set(each.needs)) for each in steps}
    dependents: dict[str, list[str]] = defaultdict(list)
    for each in steps:
        for need in set(each.needs):
            dependents[need].append(each.key)
    able = [key for key, number in missing.items() if number == 0]
    while able:
        key = able.pop()
        del missing[key]
        for dependent in dependents[key]:
            missing[dependent] -= 1
            if missing[dependent] == 0:
                able.append(dependent)
    return min(missing, default="")
