"""The channels that the conformance suite runs over, each with a host to talk to."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.simulator.v1.simulator_service_pb2 import Behavior
from savanna_engine.cloud.base import ServerOrder
from savanna_engine.cloud.local import LocalCloud, catalog
from savanna_engine.cloud.simulated import SimulatedCloud
from savanna_engine.remote.base import Command, Host, Remote, RunId
from savanna_engine.remote.fabric import FabricRemote
from savanna_engine.remote.simulated import SimulatedRemote
from savanna_engine.steps.servers import host_of, make_host_key
from tests.conformance.cloud_stages import quick, simulator, wish
from tests.conformance.remote_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path


@dataclass(frozen=True)
class Channel:
    """A channel with a host, as the suite sees it."""

    remote: Remote
    other: Remote
    """Another engine's channel to the same hosts."""

    host: Host
    silent: Host
    """A host that takes connections and says nothing."""

    gone: Host
    """A host that nobody answers for."""

    cut: Callable[[], None]
    """Break what connections there are."""


@contextlib.contextmanager
def fabric(folder: Path) -> Iterator[Channel]:
    """SSH to a real OpenSSH server, through a network that can be cut."""
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(local_host(folder, hosts="loopback"))
        proxy = stack.enter_context(contextlib.closing(Proxy(host.address, host.port)))
        through = dataclasses.replace(host, address="127.0.0.1", port=proxy.port)
        mute = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        silent = dataclasses.replace(through, port=mute.getsockname()[1])
        with socket.create_server(("127.0.0.1", 0)) as closed:
            gone = dataclasses.replace(through, port=closed.getsockname()[1])
        remote = stack.enter_context(contextlib.closing(FabricRemote()))
        other = stack.enter_context(contextlib.closing(FabricRemote()))
        yield Channel(remote, other, through, silent, gone, proxy.cut)


@contextlib.contextmanager
def simulated(folder: Path) -> Iterator[Channel]:
    """The simulator, behind a network that can be cut."""
    with contextlib.ExitStack() as stack:
        given = quick(folder).model_copy(update={"listen": "127.0.0.1:0"})
        address = stack.enter_context(simulator(given))
        cloud = stack.enter_context(contextlib.closing(SimulatedCloud(address)))
        wish(address, Behavior(name_glob="silent", ssh_dead=True))
        host, silent = (_simulated_host(cloud, name) for name in ("host-1", "silent"))
        gone = dataclasses.replace(host, address="10.255.255.254")
        proxy = stack.enter_context(
            contextlib.closing(Proxy("127.0.0.1", int(address.rpartition(":")[2])))
        )
        through = f"127.0.0.1:{proxy.port}"
        remote = stack.enter_context(contextlib.closing(SimulatedRemote(through)))
        other = stack.enter_context(contextlib.closing(SimulatedRemote(address)))
        yield Channel(remote, other, host, silent, gone, proxy.cut)


CHANNELS: dict[str, Callable[[Path], AbstractContextManager[Channel]]] = {
    "fabric": fabric,
    "simulated": simulated,
}
"""A new channel joins the suite here."""


@contextlib.contextmanager
def local_host(folder: Path, *, hosts: str) -> Iterator[Host]:
    """Give a real host on this machine; nothing of it is left afterwards."""
    with local_hosts(folder, 1, hosts=hosts) as made:
        yield made[0]


@contextlib.contextmanager
def local_hosts(folder: Path, count: int, *, hosts: str) -> Iterator[list[Host]]:
    """Give several hosts of one cluster."""
    private, public = make_host_key()
    cloud = LocalCloud(folder, hosts=hosts)
    try:
        servers = [
            cloud.create_server(_order(f"host-{number + 1}", public)) for number in range(count)
        ]
        yield [host_of(server, private) for server in servers]
    finally:
        cloud.purge()


def _simulated_host(cloud: SimulatedCloud, name: str) -> Host:
    order = dataclasses.replace(
        _order(name, ""), image_id=cloud.catalog("").images[0].id, network_id=""
    )
    server = cloud.create_server(order)
    while not server.management_ip:
        time.sleep(0.01)
        (server,) = cloud.find_servers(instance_id=order.instance_id)
    return host_of(server, "")


def _order(name: str, public: str) -> ServerOrder:
    host_key, host_public_key = make_host_key()
    return ServerOrder(
        cluster_id="c1",
        cluster_name="c1",
        project_id="default",
        instance_id=str(uuid.uuid4()),
        name=name,
        node_group="workers",
        flavor_id="1",
        image_id=catalog.PLAIN_IMAGE_ID,
        network_id=catalog.NETWORK_ID,
        authorized_key=public,
        username="savanna",
        host_key=host_key,
        host_public_key=host_public_key,
    )


_NUMBERS = itertools.count(1)


def new_run(key: str = "configure/worker-1", epoch: int = 1) -> RunId:
    """Name a run that no other test has named."""
    return RunId(f"operation-{next(_NUMBERS)}", key, epoch)


def at(run: RunId, epoch: int) -> RunId:
    """Name the same run, asked for by another attempt."""
    return dataclasses.replace(run, epoch=epoch)


def lines(*script: str, adopt: bool = False) -> Command:
    """Make a command of lines that every channel understands: sleep, echo and exit."""
    return Command("".join(f"{line}\n" for line in script), adopt=adopt)
