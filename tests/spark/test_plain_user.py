"""A user who is not root gets hosts on loopback addresses, and Spark runs there as well."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from savanna_client import Client
from tests.e2e.leftovers import Trail
from tests.e2e.savanna_all import purged, savanna_all, swept
from tests.e2e.user import instances
from tests.spark import programs
from tests.spark.hosts import commands_on
from tests.spark.plain_user import plain_user
from tests.spark.user import BUSY, SparkUser

pytestmark = pytest.mark.timeout(BUSY)

LISTEN = "0A"
PORTS = {"master": {7077, 8080, 18080}, "worker": {7078, 8081}}


async def test_spark_works_for_a_plain_user_and_a_purge_leaves_nothing() -> None:
    with plain_user() as plain, swept(plain.home / "savanna") as data:
        with savanna_all(data, by=plain.by, environment=plain.environment) as address:
            async with Client(address) as client:
                user = SparkUser(client)
                cluster = await user.launch_spark("plain", workers=2)
                for each in instances(cluster):
                    assert each.internal_ip.startswith("127.")
                    # Every daemon has its usual port, on the address of its own host.
                    assert PORTS[each.node_group] <= listening_at(each.internal_ip)
                    assert commands_on(each)
                ended = await user.ended(await user.run(cluster, "PySpark", programs.SUM))
                assert ended.state == "STATE_SUCCEEDED", ended.evidence
                assert ended.output == "sum 499500\n"
                who = await user.ended(await user.run(cluster, "Shell", "id -u"))
                assert who.output == f"{plain.user_id}\n"
        trail = Trail(data / "hosts", plain.user_id).follow()
        assert {"process", "file"} <= trail.kinds()
        assert "3 hosts" in purged(data, by=plain.by, environment=plain.environment)
        assert trail.found() == []
        assert not (data / "hosts").exists()


def listening_at(address: str) -> set[int]:
    """List the TCP ports at which somebody listens on exactly this address (proc_net_tcp(5))."""
    # The four bytes are written as a number of this machine; sockets of Java are those of IPv6.
    number = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}"
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            at, _, port = local.partition(":")
            if state == LISTEN and at.endswith(number):
                found.add(int(port, 16))
    return found
