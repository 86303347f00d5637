"""How to reach the hosts of clusters: asked once, kept while it can not change."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.conductor.v1 import facts_service_pb2 as facts_service
from savanna.operation.v1.operation_pb2 import Failure
from savanna_engine.remote.base import Host
from savanna_engine.steps.base import StepFailed
from savanna_kit import context
from savanna_kit.coalescer import Coalescer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1.cluster_pb2 import Instance
    from savanna.conductor.v1 import facts_service_pb2_grpc
    from savanna_engine.remote.base import Remote

_CLUSTERS = 256
"""So many clusters are kept, unless one read asks for more."""


@dataclass
class _Known:
    private_key: str = ""
    instances: dict[str, Instance] = field(default_factory=dict)


class Access:
    """Keys and addresses of instances.

    An address that is known stays as it is until the host is gone.
    """

    def __init__(self, facts: facts_service_pb2_grpc.FactsServiceAsyncStub, remote: Remote) -> None:
        self._facts = facts
        self._remote = remote
        self._clusters: OrderedDict[str, _Known] = OrderedDict()
        self._reading = Coalescer(self._read, limit=1000)

    async def private_key(self, cluster_id: str) -> str:
        """Give the key that opens every host of a cluster."""
        known = self._clusters.get(cluster_id)
        if known is None or not known.private_key:
            await self._reading.call((cluster_id, ""))
        return self._clusters[cluster_id].private_key

    async def host(self, cluster_id: str, name: str) -> Host:
        """Say how to log in to an instance.

        Raises ``StepFailed`` when it has no address.
        """
        instance = await self._instance(cluster_id, name)
        return Host(
            instance=name,
            address=instance.management_ip,
            port=instance.ssh_port or 22,
            user=instance.ssh_user,
            host_key=instance.host_key,
            private_key=self._clusters[cluster_id].private_key,
        )

    async def address(self, cluster_id: str, name: str) -> str:
        """Give an instance's address inside the network of its cluster."""
        return (await self._instance(cluster_id, name)).internal_ip

    def forget(self, cluster_id: str) -> None:
        """Drop what is known of a cluster that is gone."""
        self._clusters.pop(cluster_id, None)

    async def forget_host(self, cluster_id: str, name: str) -> None:
        """Drop what is known of a host that is gone, and the connections to it."""
        known = self._clusters.get(cluster_id)
        instance = known.instances.pop(name, None) if known is not None else None
        if instance is not None:
            self._remote.forget(instance.management_ip)

    async def _instance(self, cluster_id: str, name: str) -> Instance:
        known = self._clusters.get(cluster_id)
        instance = known.instances.get(name) if known is not None else None
        if instance is None:
            await self._reading.call((cluster_id, name))
            instance = self._clusters[cluster_id].instances.get(name)
        if instance is None:
            message = f"{name} has no address yet, or is gone"
            raise StepFailed(
                Failure(reason="NO_ADDRESS", message=message, instance=name, retryable=True)
            )
        return instance

    async def _read(self, wanted: Sequence[tuple[str, str]]) -> Sequence[Exception | None]:
        # Shared by many steps: it must not end with the time of the first of them.
        context.enter_deadline(None)
        failures: dict[str, Exception] = {}
        for cluster_id in {cluster_id for cluster_id, _ in wanted}:
            try:
                await self._read_cluster(cluster_id)
            except Exception as error:
                failures[cluster_id] = error
        self._evict({cluster_id for cluster_id, _ in wanted})
        return [failures.get(cluster_id) for cluster_id, _ in wanted]

    async def _read_cluster(self, cluster_id: str) -> None:
        request = facts_service.GetAccessRequest(cluster_id=cluster_id, with_private_key=True)
        answer = await self._facts.GetAccess(request, timeout=10)
        known = self._clusters.setdefault(cluster_id, _Known())
        self._clusters.move_to_end(cluster_id)
        known.private_key = answer.private_key
        known.instances = {each.name: each for each in answer.instances if each.management_ip}

    def _evict(self, wanted: set[str]) -> None:
        """Forget the oldest beyond what is kept; never one that somebody waits for."""
        oldest = [each for each in self._clusters if each not in wanted]
        for cluster_id in oldest[: max(0, len(self._clusters) - _CLUSTERS)]:
            del self._clusters[cluster_id]
