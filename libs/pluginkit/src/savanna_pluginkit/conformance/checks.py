"""The promises of a plugin, one function each.

docs/contract/plugin.md says them in words.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna_kit.errors import InvalidArgument
from savanna_pluginkit.conformance.driving import (
    Broken,
    Session,
    add_instances,
    declared,
    instances,
    keys,
    mentioned,
    reach,
    script_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from savanna.cluster.v1.cluster_pb2 import NodeGroup

_SEEDS = range(5)
_MANY = 1000
_MANY_SECONDS = 10.0
_LONGEST_KEY = 200
_LARGEST_FILE = 2**20


async def describes_itself_whole_and_always_alike(session: Session) -> None:
    """Describe gives a name in lower case, SPI version 1, versions, and never changes."""
    plugin = await session.describe()
    _require(plugin == await session.describe(), "two descriptions differ")
    _require(bool(plugin.name) and plugin.name == plugin.name.lower(), "no name in lower case")
    _require(plugin.spi_version == 1, f"spi_version is {plugin.spi_version}, not 1")
    _require(bool(plugin.versions), "there is no version")
    _once("version", (each.version for each in plugin.versions))
    for version in plugin.versions:
        _once("process", (each for service in version.services for each in service.processes))
        _once("job type", (each.name for each in version.job_types))
        _once("option", ((each.applicable_target, each.name) for each in version.configs))
        services = {"general", *(each.service for each in version.services)}
        for option in version.configs:
            _require(option.applicable_target in services, f"'{option.name}' speaks of no service")
            _require(bool(option.type and option.scope), f"'{option.name}' lacks type or scope")


async def accepts_a_good_cluster(session: Session) -> None:
    """Validate finds nothing wrong with the example, new or as a scale of itself."""
    cluster = session.example.cluster
    new = await session.validate(cluster)
    _require(not new.violations, f"the good cluster is refused: {new}")
    running = await session.ready()
    grown = _copy(running)
    _group(grown, session.example.elastic).count += 1
    scale = await session.validate(grown, current=running)
    _require(not scale.violations, f"one node more is refused: {scale}")


async def names_the_field_that_is_wrong(session: Session) -> None:
    """Validate answers each bad cluster and job with the field, a sentence and a reason."""
    for refused in session.example.refused:
        cluster = _copy(session.example.cluster)
        refused.change(cluster)
        answer = await session.validate(cluster)
        _names(answer, refused.field)
        _require(answer == await session.validate(cluster), "two answers differ")
    running = await session.ready()
    for job in session.example.jobs:
        answer = await session.validate(running, job=job)
        if job.field:
            _names(answer, job.field)
        else:
            _require(not answer.violations, f"a good {job.template.type} job is refused: {answer}")


async def plans_are_well_formed(session: Session) -> None:
    """Keys are unique, needs are steps of the plan, nothing refers to what is not there."""
    cluster = declared(session.example.cluster)
    response = await session.plan(cluster)
    _require(bool(response.steps), "a launch has no steps")
    _well_formed(cluster, response.steps)
    _require(not _jobs(response.steps), "a launch has a run_job step")


async def plans_are_pure(session: Session) -> None:
    """The same facts give the same plan; addresses and ids do not change its keys."""
    cluster = declared(session.example.cluster)
    first = await session.plan(cluster)
    _require(first == await session.plan(cluster), "two plans of the same facts differ")
    for each in instances(cluster):
        reach(each, Instance.STATE_REACHABLE)
        each.provider_id = f"server-of-{each.name}"
    later = await session.plan(cluster)
    _require(keys(first.steps) == keys(later.steps), "addresses change the keys of a plan")


async def a_launch_ends_in_any_order(session: Session) -> None:
    """Steps may succeed in any allowed order: nothing new is asked for, every node gets ready."""
    for seed in _SEEDS:
        cluster = declared(session.example.cluster)
        done = await session.carry_out(cluster, Operation.GOAL_LAUNCH, seed=seed)
        _all_ready(cluster)
        again = await session.plan(cluster)
        left = set(keys(again.steps)) - set(keys(done))
        _require(not left, f"after everything is done the plan wants {sorted(left)}")


async def growing_leaves_running_nodes_alone(session: Session) -> None:
    """A scale configures and starts the new nodes only, and ends."""
    for seed in _SEEDS:
        cluster = await session.ready()
        old = {each.name for each in instances(cluster)}
        add_instances(cluster, session.example.elastic, 2)
        done = await session.carry_out(cluster, Operation.GOAL_SCALE, seed=seed)
        _all_ready(cluster)
        again = [each.key for each in done if each.reaches and each.instance in old]
        _require(not again, f"nodes that run are set up again by {again}")


async def shrinking_hands_over_before_the_delete(session: Session) -> None:
    """A node that leaves has a step about it, is never set up, and is forgotten once it is gone."""
    cluster = await session.ready()
    leaver = _group(cluster, session.example.elastic).instances[-1]
    leaver.state = Instance.STATE_LEAVING
    _group(cluster, session.example.elastic).count -= 1
    done = await session.carry_out(cluster, Operation.GOAL_SCALE, seed=1)
    _well_formed(cluster, done)
    about = [each for each in done if leaver.name in mentioned(each)]
    _require(not [each for each in about if each.reaches], "a node that leaves is set up")
    if session.example.decommissions:
        _require(bool(about), f"{leaver.name} leaves and no step hands its work over")
    name = leaver.name
    _group(cluster, session.example.elastic).instances.remove(leaver)
    after = await session.plan(cluster, Operation.GOAL_SCALE)
    _require(
        not [each.key for each in after.steps if name in mentioned(each)],
        f"{name} is gone and the plan still speaks of it",
    )


async def a_replacement_is_set_up_like_any_node(session: Session) -> None:
    """A node that was given up is forgotten; the one declared in its place is made."""
    cluster = declared(session.example.cluster)
    group = _group(cluster, session.example.elastic)
    lost = group.instances[0].name
    add_instances(cluster, group.name, 1)
    del group.instances[0]
    group.count = len(group.instances)
    done = await session.carry_out(cluster, Operation.GOAL_LAUNCH, seed=1)
    _all_ready(cluster)
    _require(not [each for each in done if lost in mentioned(each)], f"{lost} is not forgotten")


async def jobs_run_one_program(session: Session) -> None:
    """The plan of a job has one run_job step, changes no node, and is always the same."""
    running = await session.ready()
    for job in session.example.jobs:
        if job.field:
            continue
        response = await session.plan_job(running, job)
        _well_formed(running, response.steps)
        _require(len(_jobs(response.steps)) == 1, f"{job.template.type}: not one run_job step")
        changed = [each.key for each in response.steps if each.reaches]
        _require(not changed, f"{job.template.type}: {changed} change the state of a node")
        known = {each.id for each in job.binaries}
        used = {
            each.job_binary_id
            for step in response.steps
            for each in script_of(step).files
            if each.HasField("job_binary_id")
        }
        _require(used <= known, f"{job.template.type}: unknown binaries {sorted(used - known)}")
        _require(
            response == await session.plan_job(running, job), "two plans of the same job differ"
        )


async def refuses_what_it_can_not_plan(session: Session) -> None:
    """Goals that are not a plugin's, and versions it does not know, answer INVALID_ARGUMENT."""
    cluster = await session.ready()
    unknown = _copy(cluster)
    unknown.plugin_version = "no such version"
    for asked, goal in ((cluster, Operation.GOAL_DELETE), (unknown, Operation.GOAL_LAUNCH)):
        try:
            await session.plan(asked, goal)
        except InvalidArgument as error:
            _require(bool(error.message), "a refusal without a sentence")
        else:
            raise Broken(f"{Operation.Goal.Name(goal)} of {asked.plugin_version} is planned")


async def a_thousand_nodes_are_planned_in_seconds(session: Session) -> None:
    """Plans stay fast when clusters grow."""
    cluster = declared(session.example.cluster)
    add_instances(cluster, session.example.elastic, _MANY)
    begun = time.monotonic()
    response = await session.plan(cluster)
    seconds = time.monotonic() - begun
    _require(seconds < _MANY_SECONDS, f"{_MANY} nodes took {seconds:.1f} s")
    _require(len(response.steps) >= _MANY, "not every node has a step")


async def requirements_speak_of_the_groups(session: Session) -> None:
    """GetRequirements names groups of the cluster and real ports, always alike."""
    cluster = session.example.cluster
    request = pb.GetRequirementsRequest(cluster=cluster)
    answer = await session.stub.GetRequirements(request, timeout=10)
    known = {each.name for each in cluster.node_groups}
    for each in answer.groups:
        _require(each.node_group in known, f"there is no group '{each.node_group}'")
        bad = [port for port in each.ports if not 0 < port < 65536]
        _require(not bad, f"{bad} are not ports")
    _require(
        answer == await session.stub.GetRequirements(request, timeout=10), "two answers differ"
    )


CHECKS = (
    describes_itself_whole_and_always_alike,
    accepts_a_good_cluster,
    names_the_field_that_is_wrong,
    plans_are_well_formed,
    plans_are_pure,
    a_launch_ends_in_any_order,
    growing_leaves_running_nodes_alone,
    shrinking_hands_over_before_the_delete,
    a_replacement_is_set_up_like_any_node,
    jobs_run_one_program,
    refuses_what_it_can_not_plan,
    a_thousand_nodes_are_planned_in_seconds,
    requirements_speak_of_the_groups,
)
"""All promises; each is an async function of a session and raises ``Broken``."""


def _require(kept: bool, otherwise: str) -> None:
    if not kept:
        raise Broken(otherwise)


def _once(what: str, found: Iterable[object]) -> None:
    twice = [each for each, count in Counter(found).items() if count > 1]
    _require(not twice, f"{what} named twice: {twice}")


def _names(answer: pb.ValidateResponse, field: str) -> None:
    _require(
        any(each.field == field for each in answer.violations),
        f"'{field}' is not named, but {[each.field for each in answer.violations]}",
    )
    for each in answer.violations:
        _require(bool(each.message and each.reason), f"'{each.field}' has no sentence or reason")


def _well_formed(cluster: Cluster, steps: Sequence[pb.Step]) -> None:
    _once("key", (each.key for each in steps))
    known = {each.name for each in instances(cluster)}
    planned = {each.key for each in steps}
    for step in steps:
        _require(0 < len(step.key) <= _LONGEST_KEY, f"the key '{step.key}' is too long or empty")
        _require(bool(step.title), f"{step.key} has no title")
        _require(step.WhichOneof("action") is not None, f"{step.key} does nothing")
        _require(mentioned(step) <= known, f"{step.key} speaks of {mentioned(step) - known}")
        _require(planned.issuperset(step.needs), f"{step.key} needs what is not planned")
        allowed = (0, Instance.STATE_CONFIGURED, Instance.STATE_READY)
        _require(step.reaches in allowed, f"{step.key} reaches a state that is not its to reach")
        _shell_reads(step)
        for each in script_of(step).files:
            _require(len(each.content) <= _LARGEST_FILE, f"{step.key}: {each.path} is too large")


def _shell_reads(step: pb.Step) -> None:
    text = script_of(step).text
    read = subprocess.run(
        ["/bin/sh", "-n"], input=text, text=True, capture_output=True, check=False, timeout=10
    )
    _require(read.returncode == 0, f"{step.key}: no shell reads its script: {read.stderr}")


def _all_ready(cluster: Cluster) -> None:
    late = [each.name for each in instances(cluster) if each.state < Instance.STATE_READY]
    _require(not late, f"everything is done and {late} are not ready")


def _jobs(steps: Sequence[pb.Step]) -> list[str]:
    return [each.key for each in steps if each.HasField("run_job")]


def _group(cluster: Cluster, name: str) -> NodeGroup:
    return next(each for each in cluster.node_groups if each.name == name)


def _copy(cluster: Cluster) -> Cluster:
    copied = Cluster()
    copied.CopyFrom(cluster)
    return copied
