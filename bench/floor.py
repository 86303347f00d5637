"""The floor of a launch on this machine: the same hosts and the same SSH, without Savanna.

Makes hosts with the local cloud's driver, then logs in to each and runs three scripts, with as many
threads as the engines of the benchmark have.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import clocks
from bench.meshes import ENGINES, scratch_folder
from savanna_engine.cloud.base import ServerOrder
from savanna_engine.cloud.local import LocalCloud, catalog
from savanna_engine.remote.base import Command, RunId
from savanna_engine.remote.fabric import FabricRemote
from savanna_engine.settings import EngineSettings
from savanna_engine.steps.servers import host_of, make_host_key

if TYPE_CHECKING:
    from savanna_engine.remote.base import Host

SCRIPTS = 3
_TIMEOUT = 60.0


@dataclass(frozen=True)
class Floor:
    """Seconds of wall clock and of this process's CPU: to make hosts, and to tell them things."""

    making: float
    making_cpu: float
    ssh: float
    ssh_cpu: float

    @property
    def seconds(self) -> float:
        """Both together."""
        return self.making + self.ssh


def measure(nodes: int) -> Floor:
    """Make hosts, run scripts on them, and remove them."""
    fields = EngineSettings.model_fields
    private, public = make_host_key()
    with scratch_folder() as folder, contextlib.ExitStack() as stack:
        cloud = LocalCloud(folder / "hosts")
        stack.callback(cloud.purge)
        remote = stack.enter_context(contextlib.closing(FabricRemote()))
        orders = [_order(f"floor-{number + 1}", public) for number in range(nodes)]
        begun, cpu = time.perf_counter(), clocks.spent_here()
        with ThreadPoolExecutor(fields["cloud_slots"].default * ENGINES) as threads:
            servers = list(threads.map(cloud.create_server, orders))
        made, made_cpu = time.perf_counter(), clocks.spent_here()
        hosts = [host_of(server, private) for server in servers]
        with ThreadPoolExecutor(fields["ssh_slots"].default * ENGINES) as threads:
            list(threads.map(lambda host: _tell(remote, host), hosts))
        ended, ended_cpu = time.perf_counter(), clocks.spent_here()
    return Floor(made - begun, made_cpu - cpu, ended - made, ended_cpu - made_cpu)


def _tell(remote: FabricRemote, host: Host) -> None:
    remote.check(host, _TIMEOUT)
    for number in range(SCRIPTS):
        run = RunId("floor", f"script/{number}", 1)
        state = remote.run(host, run, Command("echo ready\n"), _TIMEOUT)
        if state.exit_code != 0:
            raise RuntimeError(f"a script on {host.instance} ended with {state.exit_code}")


def _order(name: str, public_key: str) -> ServerOrder:
    host_key, host_public_key = make_host_key()
    return ServerOrder(
        cluster_id="floor",
        cluster_name="floor",
        project_id="default",
        instance_id=str(uuid.uuid4()),
        name=name,
        node_group="floor",
        flavor_id="1",
        image_id=catalog.PLAIN_IMAGE_ID,
        network_id=catalog.NETWORK_ID,
        authorized_key=public_key,
        username="savanna",
        host_key=host_key,
        host_public_key=host_public_key,
    )
