"""What a user of Spark does, in few words: clusters, programs, and what they wrote."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna.api.v1 import job_service_pb2 as jobs
from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.job.v1.job_pb2 import Job, JobBinary, JobTemplate, OutputChunk
from savanna.operation.v1.operation_pb2 import Operation
from savanna_client import Client
from savanna_pluginkit.conformance.example import config_value
from tests.e2e.user import User, bare_cluster, instances

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence

    from savanna.cluster.v1.cluster_pb2 import Instance
    from savanna.common.v1.config_pb2 import ConfigValue
    from savanna_all_in_one.mesh import Mesh

PATIENCE = 120.0
"""Seconds that a busy machine gets for what takes ten on a quiet one."""

BUSY = 300
"""Seconds for a whole test on such a machine: every JVM takes its share of the processors."""

Configs = dict[str, str | int | bool]


@dataclass(frozen=True)
class Ended:
    """A job that has ended, with all that it wrote."""

    job: Job
    output: str
    errors: str

    @property
    def state(self) -> str:
        """Its state, in a word that a failed test can show."""
        return Job.State.Name(self.job.state)

    @property
    def evidence(self) -> str:
        """What to read when it did not end as it should."""
        return f"{self.job.status_description}\n{self.output[-2000:]}\n{self.errors[-4000:]}"


class SparkUser(User):
    """A user of the public API, with clusters of the Spark plugin."""

    async def begin_spark(
        self,
        name: str,
        workers: int,
        configs: Configs | None = None,
        worker_configs: Configs | None = None,
    ) -> clusters.CreateClusterResponse:
        """Ask for a master and some workers."""
        offered = (await self.client.catalog.GetCloud(catalog.GetCloudRequest())).cloud
        wanted = bare_cluster(name, "spark", "4.3", offered)
        groups = (
            ("master", 1, ["master", "history server"], None),
            ("worker", workers, ["worker"], worker_configs),
        )
        for group, count, processes, given in groups:
            node_group = wanted.node_groups.add(name=group, count=count)
            node_group.spec.flavor_id = next(
                each.id for each in offered.flavors if each.ram == 1024
            )
            node_group.spec.node_processes.extend(processes)
            _fill(node_group.spec.node_configs.sections["Spark"].values, given or {})
        _fill(wanted.cluster_configs.sections["Spark"].values, configs or {})
        return await self.client.clusters.CreateCluster(
            clusters.CreateClusterRequest(cluster=wanted)
        )

    async def launch_spark(self, name: str, workers: int) -> Cluster:
        """Ask for a cluster and wait until it is Active."""
        begun = await self.begin_spark(name, workers)
        return await self.active(begun.operation)

    async def active(self, launch: Operation) -> Cluster:
        """Wait for the end of a launch or scale that must succeed."""
        ended = await asyncio.wait_for(self.client.wait(launch.id), PATIENCE)
        assert ended.state == Operation.STATE_SUCCEEDED, ended.failure
        cluster = await self.cluster(ended.cluster_id)
        assert cluster.state == Cluster.STATE_ACTIVE, cluster.status_description
        return cluster

    async def run(
        self,
        cluster: Cluster,
        kind: str,
        program: str | bytes,
        *,
        name: str = "program",
        libs: Mapping[str, bytes] | None = None,
        args: Sequence[str] = (),
        configs: Configs | None = None,
        params: Configs | None = None,
    ) -> Job:
        """Send a program, with files that no other test has, and ask for a run of it."""
        content = program.encode() if isinstance(program, str) else program
        unique = f"{uuid.uuid4().hex[:8]}-{name}"
        template = JobTemplate(name=unique, type=kind)
        template.mains.append(await self._binary(unique, content))
        for each, data in (libs or {}).items():
            template.libs.append(await self._binary(each, data))
        made = await self.client.jobs.CreateJobTemplate(
            jobs.CreateJobTemplateRequest(template=template)
        )
        wanted = Job(job_template_id=made.template.id, cluster_id=cluster.id)
        wanted.configs.args.extend(args)
        _fill(wanted.configs.configs, configs or {})
        _fill(wanted.configs.params, params or {})
        return (await self.client.jobs.RunJob(jobs.RunJobRequest(job=wanted))).job

    async def ended(self, job: Job) -> Ended:
        """Wait until a job has ended, and read all that it wrote."""
        await asyncio.wait_for(self.client.wait(job.operation_id), PATIENCE)
        seen = (await self.client.jobs.GetJob(jobs.GetJobRequest(id=job.id))).job
        output = await self._written(job, OutputChunk.STREAM_STDOUT)
        errors = await self._written(job, OutputChunk.STREAM_STDERR)
        return Ended(seen, output.decode(), errors.decode())

    async def until_it_says(self, job: Job, word: str) -> None:
        """Follow the output of a job until a word is in it."""
        seen = b""
        async with asyncio.timeout(PATIENCE):
            async for piece in self.client.follow_output(job.id):
                seen += piece
                if word.encode() in seen:
                    return
        ended = await self.ended(job)
        raise AssertionError(f"the job ended and never said {word}: {ended.evidence}")

    async def cancel(self, job: Job) -> None:
        """Ask for the end of a job."""
        await self.client.jobs.CancelJob(jobs.CancelJobRequest(id=job.id))

    async def _binary(self, name: str, content: bytes) -> str:
        made = await self.client.jobs.CreateJobBinary(
            jobs.CreateJobBinaryRequest(job_binary=JobBinary(name=name, url="internal-db://"))
        )
        await self.client.upload(made.job_binary, content)
        return made.job_binary.id

    async def _written(self, job: Job, stream: OutputChunk.Stream.ValueType) -> bytes:
        return b"".join([piece async for piece in self.client.follow_output(job.id, stream=stream)])


def _fill(target: MutableMapping[str, ConfigValue], values: Configs) -> None:
    for name, value in values.items():
        target[name].CopyFrom(config_value(value))


@asynccontextmanager
async def spark_user_of(mesh: Mesh) -> AsyncIterator[SparkUser]:
    """Give a user of Spark who talks to the mesh's gateway."""
    async with Client(mesh.plan.grpc) as client:
        yield SparkUser(client)


def named(cluster: Cluster, ending: str) -> Instance:
    """Give the host of a cluster whose name ends so."""
    return next(each for each in instances(cluster) if each.name.endswith(ending))
