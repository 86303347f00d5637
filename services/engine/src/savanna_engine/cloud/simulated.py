"""The simulated cloud's nine verbs, over the simulator's gRPC service.

The simulator makes a second server for a second create, as real clouds do; this driver looks before
and after, so that however often and by whomever a server is asked for, one is left.
"""

from __future__ import annotations

import uuid
from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

import grpc

from savanna.cluster.v1 import cloud_pb2
from savanna.simulator.v1 import simulator_service_pb2 as messages
from savanna.simulator.v1 import simulator_service_pb2_grpc as stubs
from savanna_engine.cloud.base import Server, ServerStatus
from savanna_engine.cloud.errors import (
    CloudError,
    CloudRefused,
    CloudUnavailable,
    QuotaExceeded,
)
from savanna_kit import context, errors, status
from savanna_kit.channels import MAX_MESSAGE, BlockingStub
from savanna_kit.interceptors import outgoing_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_engine.cloud.base import ClusterOrder, ServerOrder
    from savanna_kit.channels import Peer

    Q = TypeVar("Q")
    A = TypeVar("A")

NETWORK_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "savanna:simulated:network"))
PLAIN_IMAGE_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "savanna:simulated:image:plain"))

_CALL_SECONDS = 10.0
_USER = "savanna"
_INSTANCE, _CLUSTER, _PROJECT = "savanna_instance", "savanna_cluster", "savanna_project"
_DEPLOYMENT = "savanna_deployment"
_HOST_KEY, _SSH_USER = "savanna_host_key", "savanna_user"

_FLAVORS = {
    "1": cloud_pb2.Flavor(id="1", name="simulated.tiny", vcpus=1, ram=512, disk=1),
    "2": cloud_pb2.Flavor(id="2", name="simulated.small", vcpus=1, ram=2048, disk=20),
    "3": cloud_pb2.Flavor(id="3", name="simulated.medium", vcpus=2, ram=4096, disk=40),
    "4": cloud_pb2.Flavor(id="4", name="simulated.large", vcpus=4, ram=8192, disk=80),
}
_IMAGES = {
    PLAIN_IMAGE_ID: cloud_pb2.Image(
        id=PLAIN_IMAGE_ID,
        name="simulated-plain",
        username=_USER,
        description="Hosts that understand sleep, echo and exit",
        tags=["fake", "0.1"],
        status="ACTIVE",
    ),
}
_STATUSES = {"BUILD": ServerStatus.BUILDING, "ACTIVE": ServerStatus.RUNNING}

# A simulator that was restarted shall be found again in half a second.
_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
)


class SimulatedCloud:
    """Servers of the simulator at an address, "host:port" or "unix:/path".

    Nothing is sent until the first call.
    """

    name = "simulated"

    def __init__(self, address: str, peer: Peer | None = None) -> None:
        self._calls = BlockingStub(stubs.SimulatedCloudServiceStub, address, _OPTIONS, peer)

    @property
    def _stub(self) -> stubs.SimulatedCloudServiceStub:
        return self._calls.current()

    def catalog(self, project_id: str) -> cloud_pb2.CloudCatalog:
        """Say what is offered; the same to every project."""
        del project_id
        limits = _ask(self._stub.GetLimits, messages.GetLimitsRequest())
        quotas = []
        if limits.max_servers:
            quotas.append(
                cloud_pb2.Quota(
                    name="instances", limit=limits.max_servers, used=limits.used_servers
                )
            )
        return cloud_pb2.CloudCatalog(
            cloud=self.name,
            flavors=_FLAVORS.values(),
            images=_IMAGES.values(),
            networks=[cloud_pb2.Network(id=NETWORK_ID, name="simulated")],
            availability_zones=["simulated"],
            quotas=quotas,
        )

    def prepare_cluster(self, order: ClusterOrder) -> None:
        """Do nothing: simulated servers share nothing."""

    def remove_cluster(self, cluster_id: str) -> None:
        """Do nothing: there was nothing shared."""

    def create_server(self, order: ServerOrder) -> Server:
        """Make a server, or find the one of this instance id.

        Of several that were made at once the oldest stays, and its host key counts.
        """
        found = self.find_servers(instance_id=order.instance_id)
        if found:
            return found[0]
        _check(order)
        request = messages.CreateServerRequest(
            name=order.name,
            flavor_id=order.flavor_id,
            image_id=order.image_id,
            metadata={
                _INSTANCE: order.instance_id,
                _CLUSTER: order.cluster_id,
                _PROJECT: order.project_id,
                _DEPLOYMENT: order.deployment_id,
                _HOST_KEY: order.host_public_key,
                _SSH_USER: order.username,
            },
        )
        made = _server(_ask(self._stub.CreateServer, request).server)
        oldest = next(iter(self.find_servers(instance_id=order.instance_id)), made)
        if oldest.provider_id != made.provider_id:
            self._delete(made.provider_id)
        return oldest

    def find_servers(self, *, instance_id: str = "", cluster_id: str = "") -> Sequence[Server]:
        """List servers, oldest first."""
        wanted = {_INSTANCE: instance_id, _CLUSTER: cluster_id}
        return self._list({key: value for key, value in wanted.items() if value})

    def get_server(self, provider_id: str) -> Server | None:
        """Read one server."""
        return next(iter(self._list({}, provider_id)), None) if provider_id else None

    def delete_server(self, instance_id: str) -> bool:
        """Remove every server that carries this instance id; the simulator does so at once."""
        for each in self.find_servers(instance_id=instance_id) if instance_id else ():
            self._delete(each.provider_id)
        return True

    def delete_copy(self, provider_id: str) -> bool:
        """Remove one server; the simulator does so at once."""
        self._delete(provider_id)
        return True

    def close(self) -> None:
        """Close the channel."""
        self._calls.close()

    def _list(self, metadata: dict[str, str], provider_id: str = "") -> list[Server]:
        request = messages.ListServersRequest(metadata=metadata, id=provider_id)
        found = _ask(self._stub.ListServers, request).servers
        return [_server(each) for each in found if each.metadata.get(_INSTANCE)]

    def _delete(self, provider_id: str) -> None:
        _ask(self._stub.DeleteServer, messages.DeleteServerRequest(id=provider_id))


def _server(found: messages.Server) -> Server:
    return Server(
        provider_id=found.id,
        instance_id=found.metadata[_INSTANCE],
        cluster_id=found.metadata[_CLUSTER],
        name=found.name,
        status=_STATUSES.get(found.status, ServerStatus.ERROR),
        internal_ip=found.address,
        management_ip=found.address,
        ssh_user=found.metadata[_SSH_USER] or _USER,
        host_public_key=found.metadata[_HOST_KEY],
        fault=found.fault,
        project_id=found.metadata[_PROJECT],
        deployment_id=found.metadata[_DEPLOYMENT],
        made_at=found.create_time.ToDatetime(UTC),
    )


def _check(order: ServerOrder) -> None:
    offered = {
        "flavor": (order.flavor_id, list(_FLAVORS)),
        "image": (order.image_id, list(_IMAGES)),
        "network": (order.network_id or NETWORK_ID, [NETWORK_ID]),
    }
    for kind, (wanted, choice) in offered.items():
        if wanted not in choice:
            raise CloudRefused(
                f"{kind} '{wanted}' does not exist on the simulated cloud: "
                f"choose from {', '.join(choice)}"
            )


def _ask(call: grpc.UnaryUnaryMultiCallable[Q, A], request: Q) -> A:
    left = context.remaining()
    limit = _CALL_SECONDS if left is None else min(_CALL_SECONDS, left)
    try:
        return call(request, timeout=limit, metadata=tuple(outgoing_metadata()))
    except grpc.RpcError as failure:
        raise _cloud_error(failure) from failure


def _cloud_error(failure: grpc.RpcError) -> CloudError:
    error = status.from_rpc_error(failure)
    match error:
        case errors.ResourceExhausted():
            return QuotaExceeded(f"the simulated cloud gives no more: {error}")
        case errors.InvalidArgument():
            return CloudRefused(f"the simulated cloud refuses this: {error}")
        case _:
            return CloudUnavailable(f"the simulated cloud did not answer: {error}")
