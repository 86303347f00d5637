"""The plugin's door: messages in, views to the plugin, messages out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna.plugin.v1 import plugin_service_pb2_grpc
from savanna_kit import crashes
from savanna_kit.errors import InvalidArgument
from savanna_pluginkit.jobs import JobView
from savanna_pluginkit.plugin import check, check_job
from savanna_pluginkit.problems import Problems, Reason
from savanna_pluginkit.steps import Steps
from savanna_pluginkit.views import ClusterView

if TYPE_CHECKING:
    import grpc

    from savanna_kit.executors import BoundedExecutor
    from savanna_pluginkit.about import Version
    from savanna_pluginkit.plugin import Plugin

    Context = grpc.aio.ServicerContext[Any, Any]


class PluginServicer(plugin_service_pb2_grpc.PluginServiceServicer):
    """Serves one plugin.

    Its functions run in threads: thousands of steps take a while.
    """

    def __init__(self, plugin: Plugin, threads: BoundedExecutor) -> None:
        self._plugin = plugin
        self._threads = threads

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.DescribeResponse:
        """Say what the plugin is."""
        del request, context
        return pb.DescribeResponse(plugin=self._plugin.about.describe())

    async def Validate(self, request: pb.ValidateRequest, context: Context) -> pb.ValidateResponse:
        """Say what is wrong."""
        del context
        return await self._threads.run(validate, self._plugin, request)

    async def GetRequirements(
        self, request: pb.GetRequirementsRequest, context: Context
    ) -> pb.GetRequirementsResponse:
        """Say what is needed of the infrastructure."""
        del context
        return await self._threads.run(requirements, self._plugin, request)

    async def Plan(self, request: pb.PlanRequest, context: Context) -> pb.PlanResponse:
        """Say which steps are needed."""
        del context
        crashes.here("plugin.plan.before")
        response = await self._threads.run(plan, self._plugin, request)
        crashes.here("plugin.plan.after")
        return response


def validate(plugin: Plugin, request: pb.ValidateRequest) -> pb.ValidateResponse:
    """Check against the description first; ask the plugin only about what can be read."""
    problems = Problems()
    cluster = ClusterView(request.cluster)
    version = plugin.about.find(cluster.version)
    if version is None:
        known = ", ".join(each.version for each in plugin.about.versions)
        problems.add(
            "plugin_version",
            f"There is no version '{cluster.version}'; choose from {known}.",
            reason=Reason.INVALID_REFERENCE,
        )
        return pb.ValidateResponse(violations=problems.found)
    check(version, cluster, problems)
    if not problems and request.HasField("job"):
        _validate_job(plugin, version, request, problems)
    elif not problems:
        current = ClusterView(request.current) if request.HasField("current") else None
        plugin.validate(cluster, current, problems)
    return pb.ValidateResponse(violations=problems.found)


def _validate_job(
    plugin: Plugin, version: Version, request: pb.ValidateRequest, problems: Problems
) -> None:
    job = JobView(request.job, request.job_template, request.job_binaries)
    kind = next((each for each in version.job_kinds if each.name == job.type), None)
    if kind is not None:
        check_job(kind, job, problems)
        if not problems:
            plugin.validate_job(ClusterView(request.cluster), job, problems)
        return
    known = ", ".join(each.name for each in version.job_kinds)
    problems.add(
        "job_template_id",
        f"There is no job type '{job.type}' here; choose from {known}.",
        reason=Reason.INVALID_REFERENCE,
    )


def requirements(plugin: Plugin, request: pb.GetRequirementsRequest) -> pb.GetRequirementsResponse:
    """Ask for the ports of every group."""
    return pb.GetRequirementsResponse(
        groups=[
            pb.GroupRequirements(node_group=each.name, ports=sorted(set(plugin.ports(each))))
            for each in ClusterView(request.cluster).groups
        ]
    )


def plan(plugin: Plugin, request: pb.PlanRequest) -> pb.PlanResponse:
    """Ask for the steps of a goal.

    Raises ``InvalidArgument`` for one that no plugin has.
    """
    cluster = ClusterView(request.cluster)
    if plugin.about.find(cluster.version) is None:
        raise InvalidArgument(
            f"the plugin {plugin.about.name} does not know version '{cluster.version}' any more"
        )
    steps = Steps()
    if request.goal == Operation.GOAL_RUN_JOB:
        job = JobView(request.job, request.job_template, request.job_binaries)
        plugin.plan_job(cluster, job, steps)
    elif request.goal in (Operation.GOAL_LAUNCH, Operation.GOAL_SCALE):
        plugin.plan(cluster, steps)
    else:
        name = Operation.Goal.Name(request.goal)
        raise InvalidArgument(f"plugins plan launches, scales and jobs, not {name}")
    return steps.response()
