"""Looking at the hosts of a cluster: over SSH as users may, and from outside by their marks."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING

from savanna.api.v1 import cluster_service_pb2 as clusters
from savanna_engine.cloud.local import marks
from savanna_engine.remote.base import Command, Host, RunId
from savanna_engine.remote.fabric import FabricRemote
from tests.e2e.leftovers import command_of

if TYPE_CHECKING:
    from savanna.cluster.v1.cluster_pb2 import Cluster, Instance
    from tests.spark.user import SparkUser


async def said(user: SparkUser, cluster: Cluster, instance: Instance, script: str) -> str:
    """Log in to a host with what the API gives for that, run a script, give what it prints."""
    request = clusters.GetClusterAccessRequest(id=cluster.id)
    access = await user.client.clusters.GetClusterAccess(request)
    known = next(each for each in access.instances if each.name == instance.name)
    host = Host(
        instance=known.name,
        address=known.management_ip,
        port=known.ssh_port,
        user=known.ssh_user,
        host_key=known.host_key,
        private_key=access.private_key,
    )
    with contextlib.closing(FabricRemote()) as remote:
        run = RunId(str(uuid.uuid4()), "look", 1)
        state = await asyncio.to_thread(remote.run, host, run, Command(script), 30.0)
    assert state.exit_code == 0, state.output
    return state.output.decode()


def commands_on(instance: Instance) -> list[str]:
    """List the command lines of all processes of a host, without those of SSH."""
    lines = (command_of(pid) for pid in marks.marked(marks.HOST_MARK, instance.id))
    return sorted(each for each in lines if each and "sshd" not in each)


def programs_on(instance: Instance) -> list[str]:
    """List the processes of a host that belong to applications: drivers, executors, Python."""
    words = (".SparkSubmit", ".CoarseGrainedExecutorBackend", "pyspark.daemon", "/.savanna/")
    return [each for each in commands_on(instance) if any(word in each for word in words)]


async def until_none(instance: Instance) -> list[str]:
    """Wait until nothing of applications is on a host; give what does not go."""
    deadline = asyncio.get_running_loop().time() + 20
    while programs_on(instance) and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(0.1)
    return programs_on(instance)
