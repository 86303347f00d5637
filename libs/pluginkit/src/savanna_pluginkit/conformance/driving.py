"""Carrying plans out without hosts: steps succeed in any order, and the plugin is asked again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.plugin.v1 import plugin_service_pb2_grpc
    from savanna_pluginkit.conformance.example import Example, JobExample

_SECONDS = 30.0


class Broken(AssertionError):
    """A promise that the plugin does not keep; the text says which and how."""


class Session:
    """A plugin at its address, and what to ask it about."""

    def __init__(
        self, stub: plugin_service_pb2_grpc.PluginServiceAsyncStub, example: Example
    ) -> None:
        self.stub = stub
        self.example = example

    async def describe(self) -> pb.Plugin:
        """Ask what the plugin is."""
        return (await self.stub.Describe(pb.DescribeRequest(), timeout=_SECONDS)).plugin

    async def validate(
        self, cluster: Cluster, *, current: Cluster | None = None, job: JobExample | None = None
    ) -> pb.ValidateResponse:
        """Ask what is wrong."""
        request = pb.ValidateRequest(cluster=cluster, current=current)
        if job is not None:
            request.job.CopyFrom(job.job)
            request.job_template.CopyFrom(job.template)
            request.job_binaries.extend(job.binaries)
        return await self.stub.Validate(request, timeout=_SECONDS)

    async def plan(
        self, cluster: Cluster, goal: Operation.Goal.ValueType = Operation.GOAL_LAUNCH
    ) -> pb.PlanResponse:
        """Ask for steps."""
        request = pb.PlanRequest(goal=goal, cluster=cluster)
        return await self.stub.Plan(request, timeout=_SECONDS)

    async def plan_job(self, cluster: Cluster, job: JobExample) -> pb.PlanResponse:
        """Ask for the steps of a job."""
        request = pb.PlanRequest(
            goal=Operation.GOAL_RUN_JOB,
            cluster=cluster,
            job=job.job,
            job_template=job.template,
            job_binaries=job.binaries,
        )
        return await self.stub.Plan(request, timeout=_SECONDS)

    async def ready(self) -> Cluster:
        """Give the example as it is after its launch."""
        cluster = declared(self.example.cluster)
        for each in instances(cluster):
            reach(each, Instance.STATE_READY)
        return cluster

    async def carry_out(
        self, cluster: Cluster, goal: Operation.Goal.ValueType, *, seed: int
    ) -> list[pb.Step]:
        """Let all steps succeed in an order of chance; gives them in that order.

        The plugin is asked again after each. Raises ``Broken`` when it asks for something new
        although no instance came or went, or for something that can never start.
        """
        chance = random.Random(seed)
        response = await self.plan(cluster, goal)
        known = {each.key: each for each in response.steps}
        done: list[pb.Step] = []
        while waiting := [each for key, each in known.items() if each not in done]:
            keys = {each.key for each in done}
            able = [each for each in waiting if keys.issuperset(each.needs)]
            if not able:
                raise Broken(f"none of {[each.key for each in waiting]} can ever start")
            step = chance.choice(able)
            done.append(step)
            _succeed(cluster, step)
            again = await self.plan(cluster, goal)
            new = {each.key for each in again.steps} - known.keys()
            if new:
                raise Broken(f"after {step.key} the plan asks for {sorted(new)}, unheard of before")
        return done


def declared(example: Cluster) -> Cluster:
    """Give a cluster with the instances that its counts want, none of them begun."""
    cluster = Cluster()
    cluster.CopyFrom(example)
    for group in cluster.node_groups:
        add_instances(cluster, group.name, group.count)
    return cluster


def add_instances(cluster: Cluster, group_name: str, number: int) -> list[Instance]:
    """Declare further instances of a group."""
    group = next(each for each in cluster.node_groups if each.name == group_name)
    first = max((each.index for each in group.instances), default=-1) + 1
    added = []
    for index in range(first, first + number):
        name = f"{cluster.name}-{group.name}-{index}".lower()
        added.append(
            group.instances.add(
                id=f"id-of-{name}",
                name=name,
                node_group=group.name,
                index=index,
                state=Instance.STATE_PLANNED,
            )
        )
    group.count = len(group.instances)
    return added


def instances(cluster: Cluster) -> list[Instance]:
    """List all instances."""
    return [each for group in cluster.node_groups for each in group.instances]


def reach(instance: Instance, state: Instance.State.ValueType) -> None:
    """Bring an instance to a state, with the address that it has from then on."""
    instance.state = max(instance.state, state)
    number = sum(instance.name.encode()) % 200 + 2
    instance.internal_ip = instance.management_ip = f"198.51.100.{number}"


def mentioned(step: pb.Step) -> set[str]:
    """Name the instances that a step is about."""
    script = script_of(step)
    return {step.instance, *(each.address_of for each in script.environment.values())} - {""}


def script_of(step: pb.Step) -> pb.Script:
    """Give what a step runs."""
    return step.run_job if step.HasField("run_job") else step.run_script


def keys(steps: Sequence[pb.Step]) -> list[str]:
    """Give the keys of steps in order of the alphabet."""
    return sorted(each.key for each in steps)


def _succeed(cluster: Cluster, step: pb.Step) -> None:
    for each in instances(cluster):
        if each.name in mentioned(step) and each.state < Instance.STATE_REACHABLE:
            reach(each, Instance.STATE_REACHABLE)
        if each.name == step.instance and step.reaches:
            reach(each, step.reaches)
