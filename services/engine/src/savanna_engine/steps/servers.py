"""Steps in the cloud: what servers share, servers, and the wait until they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from savanna.operation.v1.operation_pb2 import Failure
from savanna_engine.cloud.base import ClusterOrder, Server, ServerOrder, ServerStatus
from savanna_engine.cloud.errors import CloudError
from savanna_engine.remote.base import Host
from savanna_engine.remote.errors import HostUnreachable, RemoteError
from savanna_engine.steps.base import Done, Later, StepFailed, Work, growing, reached
from savanna_engine.steps.threads import run_whole
from savanna_kit import crashes

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from savanna_engine.access import Access
    from savanna_engine.cloud.base import Cloud
    from savanna_engine.remote.base import Remote
    from savanna_kit.executors import BoundedExecutor

    T = TypeVar("T")

_LOGIN_SECONDS = 5.0


class ServerSteps:
    """Everything that a cloud is asked for."""

    def __init__(
        self,
        cloud: Cloud,
        remote: Remote,
        access: Access,
        *,
        cloud_threads: BoundedExecutor,
        ssh_threads: BoundedExecutor,
    ) -> None:
        self._cloud = cloud
        self._remote = remote
        self._access = access
        self._cloud_threads = cloud_threads
        self._ssh_threads = ssh_threads

    async def prepare_cluster(self, work: Work) -> Done:
        """Make what all servers share."""
        step = work.body.prepare_cluster
        order = ClusterOrder(
            cluster_id=work.body.cluster_id,
            cluster_name=step.cluster_name,
            project_id=work.body.project_id,
            public_key=step.public_key,
            ports=tuple(step.ports),
        )
        await self._ask(work, self._cloud.prepare_cluster, order)
        return Done()

    async def remove_cluster(self, work: Work) -> Done:
        """Remove what all servers shared."""
        await self._ask(work, self._cloud.remove_cluster, work.body.cluster_id)
        self._access.forget(work.body.cluster_id)
        return Done()

    async def create_server(self, work: Work) -> Done:
        """Make a server, or adopt what an earlier try has made."""
        step = work.body.create_server
        spec = step.node_group.spec
        host_key, host_public_key = make_host_key()
        order = ServerOrder(
            cluster_id=work.body.cluster_id,
            cluster_name=step.cluster_name,
            project_id=work.body.project_id,
            instance_id=step.instance.id,
            name=step.instance.name,
            node_group=step.node_group.name,
            flavor_id=spec.flavor_id,
            image_id=spec.image_id,
            network_id=step.network_id,
            authorized_key=step.public_key,
            username=step.username,
            host_key=host_key,
            host_public_key=host_public_key,
            availability_zone=spec.availability_zone,
            security_groups=tuple(spec.security_groups),
            deployment_id=step.deployment_id,
        )
        server = await self._ask(work, self._cloud.create_server, order)
        return Done(facts=reached(work, **_known(server)))

    async def await_server(self, work: Work) -> Done | Later:
        """Look whether a server runs and answers with the key that it was given."""
        step = work.body.await_server
        servers = await self._ask(
            work, lambda: self._cloud.find_servers(instance_id=step.instance_id)
        )
        if not servers:
            raise StepFailed(_failure(work, "SERVER_GONE", "the cloud has lost the server"))
        server = servers[0]
        if server.status is ServerStatus.ERROR:
            message = f"the cloud gave {step.instance_name} up: {server.fault or 'no reason given'}"
            raise StepFailed(_failure(work, "SERVER_FAILED", message))
        later = Later(growing(work.looks, first=0.2, most=5.0))
        if server.status is not ServerStatus.RUNNING or not server.management_ip:
            return later
        key = await self._access.private_key(work.body.cluster_id)
        host = host_of(server, key)
        try:
            await self._ssh_threads.run(self._remote.check, host, _LOGIN_SECONDS)
        except HostUnreachable:
            return later
        except RemoteError as error:
            raise StepFailed(_failure(work, error.reason, str(error))) from error
        return Done(facts=reached(work, **_known(server)))

    async def delete_server(self, work: Work) -> Done | Later:
        """Remove a server and everything that carries its id."""
        step = work.body.delete_server
        gone = await self._ask(work, self._cloud.delete_server, step.instance_id)
        if not gone:
            return Later(growing(work.looks, first=0.2, most=5.0))
        await self._access.forget_host(work.body.cluster_id, step.instance_name)
        return Done(facts=reached(work))

    async def _ask(self, work: Work, call: Callable[..., T], *arguments: object) -> T:
        crashes.here("engine.cloud_call.before")
        try:
            answer = await run_whole(self._cloud_threads, call, *arguments)
        except CloudError as error:
            failure = _failure(work, error.reason, str(error))
            failure.retryable = error.retryable
            raise StepFailed(failure) from error
        crashes.here("engine.cloud_call.after")
        return answer


def make_host_key() -> tuple[str, str]:
    """Make an SSH host key: the private part in OpenSSH form, and the public part."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


def host_of(server: Server, private_key: str) -> Host:
    """Say how to log in to a server."""
    return Host(
        instance=server.name,
        address=server.management_ip,
        port=server.ssh_port,
        user=server.ssh_user,
        host_key=server.host_public_key,
        private_key=private_key,
    )


def _known(server: Server) -> dict[str, str | int]:
    return {
        "provider_id": server.provider_id,
        "internal_ip": server.internal_ip,
        "management_ip": server.management_ip,
        "ssh_port": server.ssh_port,
        "ssh_user": server.ssh_user,
        "host_key": server.host_public_key,
    }


def _failure(work: Work, reason: str, message: str) -> Failure:
    return Failure(reason=reason, message=message, instance=work.instance, task_key=work.key)
