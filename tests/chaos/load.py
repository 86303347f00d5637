"""Users who launch, scale, run jobs and delete, whatever happens, and remember what they were
told."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, TypeVar

from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna.api.v1 import job_service_pb2 as jobs
from savanna.cluster.v1.cluster_pb2 import NodeGroup
from savanna.job.v1.job_pb2 import Job, JobBinary, JobTemplate
from savanna.operation.v1.operation_pb2 import ON_FAILURE_KEEP, ON_FAILURE_ROLLBACK, Operation
from savanna_client.outage import Outage
from savanna_kit import errors
from savanna_pluginkit.conformance import set_config
from savanna_pluginkit.conformance.example import config_value
from tests.chaos.checker import is_given_up
from tests.chaos.history import Promise
from tests.e2e.user import fake_cluster

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from savanna.cluster.v1.cloud_pb2 import CloudCatalog
    from savanna_client import Client

    T = TypeVar("T")

PATIENCE = 180.0
"""Seconds after which what has not ended counts as lost, once nobody is hurt any more."""

OUTAGE = 600.0
"""Seconds after which who has not answered counts as gone, whatever happens to it."""

TEMPLATE = "chaos"
_SUCCEEDED = frozenset({int(Operation.STATE_SUCCEEDED)})
_OR_CANCELLED = frozenset({*_SUCCEEDED, int(Operation.STATE_CANCELLED)})


class Gone(Exception):
    """A user has seen what must not be, and gives up."""


class Crowd:
    """All users of a round, and what they were promised."""

    def __init__(
        self,
        clients: Sequence[Client],
        seed: int,
        *,
        users: int,
        nodes: int,
        delays: Sequence[int],
        servers: Callable[[str], Awaitable[Sequence[str]]],
    ) -> None:
        self.promises: dict[str, Promise] = {}
        self.complaints: list[str] = []
        self.stopping = asyncio.Event()
        self.nodes = nodes
        """Most workers of a cluster."""

        self.delays = delays
        """Milliseconds that a step may take."""

        self.servers = servers
        self._clients = clients
        self._users = [
            User(self, clients[number % len(clients)], f"u{number}", Random(f"{seed} {number}"))
            for number in range(users)
        ]

    async def prepare(self) -> CloudCatalog:
        """Store the program that all jobs run, before anything is hurt."""
        client = self._clients[0]
        binary = JobBinary(name="chaos.sh")
        await client.jobs.CreateJobBinary(jobs.CreateJobBinaryRequest(job_binary=binary))
        await client.upload("chaos.sh", b"exit 0\n")
        template = JobTemplate(name=TEMPLATE, type="Shell", mains=["chaos.sh"])
        await client.jobs.CreateJobTemplate(jobs.CreateJobTemplateRequest(template=template))
        return (await client.catalog.GetCloud(catalog.GetCloudRequest())).cloud

    async def live(self, offered: CloudCatalog) -> None:
        """Use Savanna until it is time to stop; then everything that was made is deleted."""
        await asyncio.gather(*(each.live(offered) for each in self._users))

    def promise(self, operation: Operation, cluster: str, wanted: frozenset[int]) -> None:
        """Remember an operation that was acknowledged."""
        goal = Operation.Goal.Name(operation.goal).removeprefix("GOAL_")
        self.promises[operation.id] = Promise(operation.id, cluster, goal, wanted)

    def unwish(self, operation: str) -> None:
        """Note that an operation is to be cancelled: it may have been done before."""
        self.promises[operation] = replace(self.promises[operation], wanted=_OR_CANCELLED)

    def excuse(self, cluster: str) -> None:
        """Note that a cluster is deleted: what was under way for it may be cancelled."""
        for each in self.promises.values():
            if each.cluster == cluster:
                self.promises[each.operation] = replace(each, wanted=_OR_CANCELLED)


class User:
    """Makes one cluster after the other."""

    def __init__(self, crowd: Crowd, client: Client, name: str, chance: Random) -> None:
        self._crowd = crowd
        self._client = client
        self._name = name
        self._chance = chance

    async def live(self, offered: CloudCatalog) -> None:
        """Go on until it is time to stop."""
        number = 0
        while not self._crowd.stopping.is_set():
            number += 1
            try:
                await self._one_cluster(f"{self._name}-{number}", offered)
            except Gone as gone:
                self._crowd.complaints.append(str(gone))
            except (errors.SavannaError, TimeoutError) as error:
                complaint = f"REQUEST user {self._name}, cluster {number}: {error!r}"
                self._crowd.complaints.append(complaint)
                return

    async def _one_cluster(self, name: str, offered: CloudCatalog) -> None:
        chance = self._chance
        launch = await self._launch(name, offered)
        if chance.random() < 0.2:
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            await self._delete(name, launch.cluster_id)
            return
        ended = await self._led_to_its_end(launch)
        if ended.state == Operation.STATE_SUCCEEDED:
            await self._use(name)
        await self._delete(name, launch.cluster_id)

    async def _use(self, name: str) -> None:
        for _ in range(self._chance.randint(1, 3)):
            if self._crowd.stopping.is_set():
                return
            if self._chance.random() < 0.5:
                await self._scale(name, self._chance.randint(1, self._crowd.nodes))
            else:
                count = self._chance.randint(1, 2)
                await asyncio.gather(*(self._run_job(name) for _ in range(count)))
        if self._chance.random() < 0.3:
            # Deleted while it runs.
            await self._begin_job(name, "unheard")

    # Requests, each said again until it is answered.

    async def _launch(self, name: str, offered: CloudCatalog) -> Operation:
        wanted = fake_cluster(name, self._chance.randint(1, self._crowd.nodes), offered)
        for phase in ("configure", "start", "decommission"):
            delay = self._chance.choice(self._crowd.delays)
            set_config(wanted.cluster_configs, "general", f"fake.delay.{phase}", delay)
        request = clusters.CreateClusterRequest(
            cluster=wanted,
            request_id=str(uuid.uuid4()),
            on_failure=self._chance.choice((ON_FAILURE_ROLLBACK, ON_FAILURE_KEEP)),
        )
        answer = await insist(lambda: self._client.clusters.CreateCluster(request))
        self._crowd.promise(answer.operation, name, _SUCCEEDED)
        return answer.operation

    async def _scale(self, name: str, workers: int) -> None:
        request = clusters.ScaleClusterRequest(
            id=name,
            node_groups=[NodeGroup(name="worker", count=workers)],
            request_id=str(uuid.uuid4()),
        )
        answer = await insist(lambda: self._client.clusters.ScaleCluster(request))
        self._crowd.promise(answer.operation, name, _SUCCEEDED)
        await self._led_to_its_end(answer.operation)

    async def _begin_job(self, name: str, message: str) -> jobs.RunJobResponse:
        job = Job(job_template_id=TEMPLATE, cluster_id=name)
        given: dict[str, str | int] = {
            "fake.job.delay": self._chance.choice(self._crowd.delays),
            "fake.job.message": message,
        }
        for key, value in given.items():
            job.configs.configs[key].CopyFrom(config_value(value))
        request = jobs.RunJobRequest(job=job, request_id=str(uuid.uuid4()))
        answer = await insist(lambda: self._client.jobs.RunJob(request))
        self._crowd.promise(answer.operation, name, _SUCCEEDED)
        return answer

    async def _run_job(self, name: str) -> None:
        message = f"said by {uuid.uuid4()}"
        answer = await self._begin_job(name, message)
        ended = await self._ended(answer.operation)
        if is_given_up(ended):
            return
        request = jobs.ReadJobOutputRequest(id=answer.job.id)
        output = await insist(lambda: self._client.jobs.ReadJobOutput(request))
        if output.job.state != Job.STATE_SUCCEEDED or output.data.count(message.encode()) != 1:
            state = Job.State.Name(output.job.state)
            raise Gone(f"LOST job {answer.job.id} on {name} is {state} and wrote {output.data!r}")

    async def _delete(self, name: str, cluster_id: str) -> None:
        self._crowd.excuse(name)
        request = clusters.DeleteClusterRequest(id=cluster_id)
        try:
            answer = await insist(lambda: self._client.clusters.DeleteCluster(request))
        except errors.NotFound:
            # An earlier call was heard, and its answer was lost.
            return
        self._crowd.promise(answer.operation, name, _SUCCEEDED)
        await self._ended(answer.operation)
        wanted = clusters.GetClusterRequest(id=cluster_id)
        try:
            await insist(lambda: self._client.clusters.GetCluster(wanted))
        except errors.NotFound:
            pass
        else:
            raise Gone(f"END cluster {name} is there, although it was deleted")
        if left := await self._crowd.servers(cluster_id):
            raise Gone(f"ORPHAN cluster {name} was deleted and left {', '.join(left)}")

    async def _led_to_its_end(self, operation: Operation) -> Operation:
        """Wait for the end of a launch or a scale, or cancel it and think again."""
        chance = self._chance
        if chance.random() < 0.8:
            return await self._ended(operation)
        await asyncio.sleep(chance.uniform(0.0, 2.0))
        self._crowd.unwish(operation.id)
        cancel = clusters.CancelOperationRequest(id=operation.id)
        await insist(lambda: self._client.operations.CancelOperation(cancel))
        ended = await self._ended(operation)
        if ended.state != Operation.STATE_CANCELLED:
            return ended
        if chance.random() < 0.5:
            retry = clusters.RetryOperationRequest(id=ended.id, request_id=str(uuid.uuid4()))
            again = await insist(lambda: self._client.operations.RetryOperation(retry))
            self._crowd.promise(again.operation, ended.cluster_name, _SUCCEEDED)
            return await self._ended(again.operation)
        rollback = clusters.RollbackOperationRequest(id=ended.id, request_id=str(uuid.uuid4()))
        try:
            back = await insist(lambda: self._client.operations.RollbackOperation(rollback))
        except errors.FailedPrecondition as refusal:
            if refusal.reason != "NOTHING_LEFT":
                raise
        else:
            self._crowd.promise(back.operation, ended.cluster_name, _SUCCEEDED)
            ended_back = await self._ended(back.operation)
            if is_given_up(ended_back):
                return ended
        left = await self._crowd.servers(ended.cluster_id)
        if ended.goal == Operation.GOAL_LAUNCH and left:
            raise Gone(f"ORPHAN the way back of {ended.id} left {', '.join(left)}")
        return ended

    async def _ended(self, operation: Operation) -> Operation:
        """Wait for the end of an operation: it may take its time while somebody is hurt."""
        waiting = asyncio.ensure_future(self._client.wait(operation.id, patience=OUTAGE))
        quiet = asyncio.ensure_future(self._crowd.stopping.wait())
        try:
            await asyncio.wait((waiting, quiet), return_when=asyncio.FIRST_COMPLETED)
            async with asyncio.timeout(PATIENCE):
                return await waiting
        except TimeoutError:
            goal = Operation.Goal.Name(operation.goal)
            raise Gone(f"END {goal} {operation.id} did not end in {PATIENCE:.0f} s") from None
        finally:
            quiet.cancel()
            waiting.cancel()


async def insist(call: Callable[[], Awaitable[T]]) -> T:
    """Call again until there is an answer, good or bad, other than that nobody answers."""
    outage = Outage(OUTAGE)
    while True:
        try:
            return await call()
        except errors.SavannaError as error:
            await outage.endure(error)
