"""The narrow waist between steps and clouds: nine verbs that every cloud driver offers.

Drivers are synchronous and safe to call from several threads; the engine runs them in its ``cloud``
executor. Every verb can be repeated: makers look first, removers succeed when nothing is there.
Whatever a driver makes carries the ids of its deployment, cluster and instance, so that it can be
found again by anyone, also after a lost reply, and by those alone whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from savanna.cluster.v1 import cloud_pb2


class ServerStatus(StrEnum):
    """How far a server is, in the words that all drivers share."""

    BUILDING = "building"
    RUNNING = "running"
    ERROR = "error"


@dataclass(frozen=True)
class ClusterOrder:
    """What all servers of a cluster share: asked for once, before the first server."""

    cluster_id: str
    cluster_name: str
    project_id: str
    public_key: str
    ports: tuple[int, ...] = ()


@dataclass(frozen=True)
class ServerOrder:
    """One server to make.

    ``host_key`` is the private SSH host key in OpenSSH form, ``host_public_key`` its public part.
    """

    cluster_id: str
    cluster_name: str
    project_id: str
    instance_id: str
    name: str
    node_group: str
    flavor_id: str
    image_id: str
    network_id: str
    authorized_key: str
    username: str
    host_key: str
    host_public_key: str
    availability_zone: str = ""
    security_groups: tuple[str, ...] = ()
    deployment_id: str = ""


@dataclass(frozen=True)
class Server:
    """A server as the cloud reports it.

    Addresses are empty until the cloud knows them. ``made_at`` is by the cloud's clock; a cloud
    says it of every server, also of one whose making was cut off, and so it does whose it is.
    """

    provider_id: str
    instance_id: str
    cluster_id: str
    name: str
    status: ServerStatus
    internal_ip: str = ""
    management_ip: str = ""
    ssh_port: int = 22
    ssh_user: str = ""
    host_public_key: str = ""
    fault: str = ""
    project_id: str = ""
    deployment_id: str = ""
    made_at: datetime | None = None


class Cloud(Protocol):
    """A cloud.

    Errors are those of ``savanna_engine.cloud.errors``: a refusal is final, an outage can be
    retried.
    """

    name: str
    """Name of the driver: "local", "simulated", "openstack"."""

    def catalog(self, project_id: str) -> cloud_pb2.CloudCatalog:
        """Say what the cloud offers to a project."""

    def prepare_cluster(self, order: ClusterOrder) -> None:
        """Make what all servers of a cluster share, or find it."""

    def remove_cluster(self, cluster_id: str) -> None:
        """Remove what all servers of a cluster shared; the servers must be gone."""

    def create_server(self, order: ServerOrder) -> Server:
        """Make a server, or adopt the one that already carries this instance id.

        The adopted server's own host key counts, not the order's. Raises ``QuotaExceeded``,
        ``NotFound`` for flavor, image or network, and ``CloudUnavailable``.
        """

    def find_servers(self, *, instance_id: str = "", cluster_id: str = "") -> Sequence[Server]:
        """List servers that carry these ids; none given means all that Savanna ever made here."""

    def get_server(self, provider_id: str) -> Server | None:
        """Read one server; None when there is none."""

    def delete_server(self, instance_id: str) -> bool:
        """Begin or go on to remove everything that carries this instance id; True when nothing is
        left."""

    def delete_copy(self, provider_id: str) -> bool:
        """Begin or go on to remove one server, of several that carry one instance id; True when
        nothing is left of it.

        Others of the instance stay.
        """

    def close(self) -> None:
        """Let go of connections; servers stay."""
