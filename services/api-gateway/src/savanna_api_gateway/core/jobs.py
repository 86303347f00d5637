"""Running jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.conductor.v1 import cluster_service_pb2 as pb
from savanna.job.v1 import job_pb2
from savanna.plugin.v1 import plugin_service_pb2
from savanna_api_gateway.core import unsupported
from savanna_api_gateway.core.checks import check_enabled, find_version
from savanna_api_gateway.core.interface import with_interface
from savanna_api_gateway.core.job_binaries import has_bytes
from savanna_api_gateway.core.ownership import check_cancelable, check_deletable
from savanna_api_gateway.core.problems import Problems, Reason, known
from savanna_api_gateway.core.repeats import made_once
from savanna_api_gateway.shelf import new_id
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1 import cluster_pb2
    from savanna.operation.v1 import operation_pb2
    from savanna_api_gateway.conductor import Conductor
    from savanna_api_gateway.core.reads import Clusters, Jobs
    from savanna_api_gateway.core.survey import Survey
    from savanna_api_gateway.shelf import Shelves
    from savanna_kit.context import RequestContext

Job = job_pb2.Job


@dataclass(frozen=True)
class Run:
    """A stored job and the operation that runs it."""

    job: Job
    operation: operation_pb2.Operation


@dataclass(frozen=True)
class _Parts:
    cluster: cluster_pb2.Cluster
    template: job_pb2.JobTemplate
    binaries: Sequence[job_pb2.JobBinary]


class JobWork:
    """What can be done with jobs."""

    def __init__(
        self,
        conductor: Conductor,
        shelves: Shelves,
        survey: Survey,
        *,
        clusters: Clusters,
        reads: Jobs,
    ) -> None:
        self.reads = reads
        self._conductor = conductor
        self._shelves = shelves
        self._survey = survey
        self._clusters = clusters

    async def run(
        self,
        caller: RequestContext,
        job: Job,
        *,
        interface_given: bool | None = None,
        request_id: str = "",
    ) -> Run:
        """Check, ask the plugin, store with its operation.

        A refused request stores nothing; one that was stored before is not refused.
        """

        async def write() -> Run:
            wanted = await self._wanted(caller, job, interface_given)
            return await self._store(
                pb.CreateJobRequest(
                    project_id=caller.project_id, job=wanted, request_id=request_id or new_id()
                )
            )

        async def before() -> Run:
            return await self._store(
                pb.CreateJobRequest(
                    project_id=caller.project_id, request_id=request_id, known_only=True
                )
            )

        return await made_once(write, before, request_id=request_id)

    async def _wanted(self, caller: RequestContext, job: Job, interface_given: bool | None) -> Job:
        problems = Problems()
        parts = await self._parts(caller, job, problems)
        given = bool(job.interface) if interface_given is None else interface_given
        wanted = Job()
        wanted.CopyFrom(job)
        wanted.cluster_id = parts.cluster.id
        wanted.job_template_id = parts.template.id
        wanted.configs.CopyFrom(with_interface(problems, parts.template, job, given=given))
        await self._check(problems, wanted, parts)
        return wanted

    async def _store(self, request: pb.CreateJobRequest) -> Run:
        response = await self._conductor.jobs.CreateJob(request)
        return Run(response.job, response.operation)

    async def cancel(self, caller: RequestContext, job_id: str) -> Job:
        """Ask for its end; one that has ended stays as it is."""
        job = await self.reads.get(caller.project_id, job_id)
        check_cancelable(job, caller.project_id, "Job execution")
        response = await self._conductor.jobs.CancelJob(
            pb.CancelJobRequest(name=_name(caller, job_id))
        )
        return response.job

    async def delete(self, caller: RequestContext, job_id: str) -> None:
        """Remove it with its output; one that runs is ended first."""
        job = await self.reads.get(caller.project_id, job_id)
        check_deletable(job, caller.project_id, "JobExecution")
        await self._conductor.jobs.DeleteJob(pb.DeleteJobRequest(name=_name(caller, job_id)))

    async def output(
        self,
        caller: RequestContext,
        job_id: str,
        *,
        stream: job_pb2.OutputChunk.Stream.ValueType,
        offset: int,
        limit: int,
    ) -> pb.ReadJobOutputResponse:
        """Read kept output from a position."""
        if offset < 0 or limit < 0:
            raise errors.InvalidArgument("offset and limit must not be negative")
        request = pb.ReadJobOutputRequest(
            name=_name(caller, job_id),
            stream=stream or job_pb2.OutputChunk.STREAM_STDOUT,
            offset=offset,
            limit=limit,
        )
        return await self._conductor.jobs.ReadJobOutput(request)

    async def _parts(self, caller: RequestContext, job: Job, problems: Problems) -> _Parts:
        cluster = template = None
        try:
            cluster = await self._clusters.find(caller.project_id, job.cluster_id)
        except errors.NotFound:
            problems.add(
                "cluster_id",
                Reason.INVALID_REFERENCE,
                f"Cluster with id '{job.cluster_id}' doesn't exist",
            )
        try:
            template = await self._shelves.job_templates.find(
                caller.project_id, job.job_template_id
            )
        except errors.NotFound:
            problems.add(
                "job_template_id",
                Reason.INVALID_REFERENCE,
                f"Job template with id '{job.job_template_id}' doesn't exist",
            )
        problems.raise_any()
        assert cluster is not None
        assert template is not None
        binaries = []
        for each in (*template.mains, *template.libs):
            binary = await self._shelves.job_binaries.look(caller.project_id, each)
            if binary is None:
                problems.add(
                    "job_template_id", Reason.NOT_FOUND, f"Job binary '{each}' does not exist"
                )
            else:
                binaries.append(binary)
        problems.raise_any()
        return _Parts(cluster, template, binaries)

    async def _check(self, problems: Problems, job: Job, parts: _Parts) -> None:
        cluster = parts.cluster
        plugin = await self._survey.plugins.find(cluster.plugin_name)
        version = find_version(problems, plugin, cluster.plugin_name, cluster.plugin_version)
        problems.raise_any()
        assert plugin is not None
        assert version is not None
        check_enabled(problems, plugin, version)
        unsupported.check_job(problems, job)
        _check_type(problems, job, parts, version)
        for binary in parts.binaries:
            if not has_bytes(binary):
                problems.add(
                    "job_template_id",
                    Reason.BAD_JOB_BINARY,
                    f"Job binary '{binary.name}' has no bytes yet",
                    "Upload them first",
                )
        problems.raise_any()
        request = plugin_service_pb2.ValidateRequest(
            cluster=cluster, job=job, job_template=parts.template, job_binaries=parts.binaries
        )
        problems.extend(await self._survey.plugins.validate(cluster.plugin_name, request))
        problems.raise_any()


def _check_type(
    problems: Problems, job: Job, parts: _Parts, version: plugin_service_pb2.Version
) -> None:
    name = parts.template.type
    job_type = next((each for each in version.job_types if each.name == name), None)
    if job_type is None:
        problems.add(
            "job_template_id",
            Reason.INVALID_REFERENCE,
            f"Cluster with id '{parts.cluster.id}' doesn't support job type '{name}'",
            known((each.name for each in version.job_types), what="job types of the cluster"),
        )
        return
    for required in job_type.required_configs:
        if required not in job.configs.configs:
            problems.add(
                f"configs.configs.{required}",
                Reason.INVALID_DATA,
                f"{name} job must specify {required}",
            )


def _name(caller: RequestContext, job_id: str) -> pb.OwnedName:
    return pb.OwnedName(project_id=caller.project_id, id=job_id)
