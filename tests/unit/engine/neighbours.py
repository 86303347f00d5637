"""Everything around a step, in memory: the conductor's facts, a plugin, a cloud and its hosts.

Cloud and hosts are the smallest ones that keep the promises of ``savanna_engine.cloud.base`` and
``savanna_engine.remote.base`` as far as steps rely on them; the real ones keep them by their
conformance suites.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from savanna.cluster.v1.cloud_pb2 import CloudCatalog
from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.conductor.v1 import facts_service_pb2 as messages
from savanna.conductor.v1 import facts_service_pb2_grpc as stubs
from savanna_engine.cloud.base import Server, ServerStatus
from savanna_engine.cloud.errors import CloudUnavailable
from savanna_engine.remote.base import RunState
from savanna_engine.remote.errors import HostUnreachable, RunNotFound, StaleEpoch
from savanna_kit.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from savanna_engine.cloud.base import ClusterOrder, ServerOrder
    from savanna_engine.remote.base import Command, Host, RunId


class Conductor(stubs.FactsServiceServicer):
    """Answers from what a test puts in."""

    def __init__(self) -> None:
        self.plan_facts = messages.GetPlanFactsResponse()
        self.instances: list[Instance] = []
        self.binaries: dict[str, bytes] = {}
        self.deployment_id = "d1"
        self.clusters: list[str] = []
        self.then: Callable[[], None] | None = None
        """Happens right after instances were listed."""

    async def GetPlanFacts(
        self, request: messages.GetPlanFactsRequest, context: object
    ) -> messages.GetPlanFactsResponse:
        if request.operation_id != self.plan_facts.operation.id:
            raise NotFound("there is no such operation")
        return self.plan_facts

    async def GetAccess(
        self, request: messages.GetAccessRequest, context: object
    ) -> messages.GetAccessResponse:
        return messages.GetAccessResponse(instances=self.instances, private_key="the key")

    async def ReadJobBinary(
        self, request: messages.ReadJobBinaryRequest, context: object
    ) -> AsyncIterator[messages.ReadJobBinaryResponse]:
        data = self.binaries[request.job_binary_id]
        for start in range(0, len(data), 3):
            yield messages.ReadJobBinaryResponse(data=data[start : start + 3])

    async def ListInstanceIds(
        self, request: messages.ListInstanceIdsRequest, context: object
    ) -> messages.ListInstanceIdsResponse:
        asked = request.instance_ids
        answer = messages.ListInstanceIdsResponse(
            instance_ids=[e.id for e in self.instances if not asked or e.id in asked],
            cluster_ids=[each for each in self.clusters if each in request.cluster_ids],
            deployment_id=self.deployment_id,
        )
        if self.then is not None:
            self.then()
        return answer

    def know(self, name: str, number: int) -> None:
        """Let an instance have addresses."""
        self.instances.append(
            Instance(
                name=name,
                state=Instance.STATE_REACHABLE,
                internal_ip=f"10.0.0.{number}",
                management_ip=f"198.51.100.{number}",
                ssh_user="hadoop",
                host_key="ssh-ed25519 HOST",
            )
        )


class MemoryCloud:
    """Servers that are there at once; what a test sets is raised or waited for."""

    name = "memory"

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.prepared: dict[str, ClusterOrder] = {}
        self.orders: list[ServerOrder] = []
        self.error: Exception | None = None
        self.deletes_needed = 1
        self.stuck: set[str] = set()
        """Instances that can not be deleted."""
        self.then: Callable[[], None] | None = None
        """Happens right after all servers were listed."""
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Event()

    def catalog(self, project_id: str) -> CloudCatalog:
        return CloudCatalog()

    def prepare_cluster(self, order: ClusterOrder) -> None:
        self._ask()
        self.prepared[order.cluster_id] = order

    def remove_cluster(self, cluster_id: str) -> None:
        self._ask()
        self.prepared.pop(cluster_id, None)

    def create_server(self, order: ServerOrder) -> Server:
        self._ask()
        self.orders.append(order)
        number = len(self.servers) + 1
        return self.servers.setdefault(
            order.instance_id,
            Server(
                provider_id=f"server-{number}",
                instance_id=order.instance_id,
                cluster_id=order.cluster_id,
                name=order.name,
                status=ServerStatus.RUNNING,
                internal_ip=f"10.0.0.{number}",
                management_ip=f"198.51.100.{number}",
                ssh_user="hadoop",
                host_public_key=order.host_public_key,
            ),
        )

    def find_servers(self, *, instance_id: str = "", cluster_id: str = "") -> Sequence[Server]:
        self._ask()
        found = [
            each
            for each in self.servers.values()
            if instance_id in ("", each.instance_id) and cluster_id in ("", each.cluster_id)
        ]
        if self.then is not None and not instance_id and not cluster_id:
            self.then()
        return found

    def get_server(self, provider_id: str) -> Server | None:
        return next((e for e in self.servers.values() if e.provider_id == provider_id), None)

    def delete_server(self, instance_id: str) -> bool:
        self._ask()
        if instance_id in self.stuck:
            raise CloudUnavailable("the cloud is stuck")
        self.deletes_needed -= 1
        if self.deletes_needed > 0:
            return False
        self.servers.pop(instance_id, None)
        return True

    def delete_copy(self, provider_id: str) -> bool:
        self._ask()
        self.servers = {k: v for k, v in self.servers.items() if v.provider_id != provider_id}
        return True

    def close(self) -> None:
        pass

    def change(self, instance_id: str, /, **values: object) -> None:
        self.servers[instance_id] = replace(self.servers[instance_id], **values)  # type: ignore[arg-type]  # fields of Server, by name

    def _ask(self) -> None:
        self.asked.set()
        assert self.may_answer.wait(5)
        if self.error is not None:
            raise self.error


@dataclass
class Run:
    """A command on a host."""

    host: Host
    epoch: int
    command: Command
    state: RunState = field(default_factory=RunState)


class MemoryRemote:
    """Hosts whose commands end as a test says; a run is fenced by its epoch as on real ones."""

    def __init__(self) -> None:
        self.runs: dict[tuple[str, str], Run] = {}
        self.barred: dict[tuple[str, str], int] = {}
        self.result = RunState(exit_code=0)
        self.error: Exception | None = None
        self.is_up = True
        self.may_begin = threading.Event()
        self.may_begin.set()
        self.may_end = threading.Event()
        self.may_end.set()
        self.begun = threading.Event()
        self.connecting = threading.Event()
        self.logins: list[str] = []
        self.stops: list[RunId] = []
        self.forgotten: list[str] = []

    def check(self, host: Host, timeout: float) -> None:
        self.logins.append(host.host_key)
        self._reach()

    def run(self, host: Host, run: RunId, command: Command, timeout: float) -> RunState:
        self.start(host, run, command, timeout)
        if self.barred.get(_name(run), -1) >= run.epoch:
            return RunState(exit_code=143)
        self.begun.set()
        assert self.may_end.wait(5)
        return self.result

    def start(self, host: Host, run: RunId, command: Command, timeout: float) -> None:
        self.connecting.set()
        assert self.may_begin.wait(5)
        self._reach()
        if run.epoch < self.barred.get(_name(run), -1):
            raise StaleEpoch("a later attempt owns it")
        if self.barred.get(_name(run), -1) == run.epoch:
            return
        self.runs.setdefault(_name(run), Run(host, run.epoch, command))

    def poll(
        self, host: Host, run: RunId, *, output_offset: int, errors_offset: int, timeout: float
    ) -> RunState:
        self._reach()
        state = self.runs[_name(run)].state
        return replace(
            state, output=state.output[output_offset:], errors=state.errors[errors_offset:]
        )

    def stop(self, host: Host, run: RunId, timeout: float) -> None:
        self._reach()
        self.stops.append(run)
        self.barred[_name(run)] = run.epoch
        self.may_end.set()
        if self.runs.pop(_name(run), None) is None:
            raise RunNotFound("no such run")

    def forget(self, host_address: str) -> None:
        self.forgotten.append(host_address)

    def close(self) -> None:
        pass

    def _reach(self) -> None:
        if not self.is_up:
            raise HostUnreachable("it does not answer")
        if self.error is not None:
            raise self.error


def _name(run: RunId) -> tuple[str, str]:
    return run.operation_id, run.key
