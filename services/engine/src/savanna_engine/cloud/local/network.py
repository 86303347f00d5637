"""The bridge that joins the hosts of one local cloud, in a /24 of 198.18.0.0/15 (RFC 2544: for test
networks)."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_engine.cloud.errors import CloudUnavailable, QuotaExceeded
from savanna_engine.cloud.local.records import write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_engine.cloud.local.records import Records

_SUBNETS = list(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=24))


@dataclass(frozen=True)
class Network:
    """A bridge and its subnet, for example "198.18.7.0/24"."""

    bridge: str
    subnet: str
    namespace: str = ""
    """Path of the network namespace that the bridge is in; "" for this process's own."""

    def address(self, number: int) -> str:
        """Give the address with this number; 1 is the machine's own."""
        return str(ipaddress.ip_network(self.subnet)[number])


def ensure_network(records: Records, namespace: str = "") -> Network:
    """Make the bridge of this cloud, or find it."""
    with records.locked(records.root):
        known = _known(records)
        if known is not None and _is_there(known.bridge, known.namespace):
            return known
        with _machine_lock():
            subnet = known.subnet if known else _free_subnet(records.cloud_id, namespace)
            network = Network(f"sv{records.cloud_id}", subnet, namespace)
            ip_batch(
                f"link add {network.bridge} type bridge",
                f"addr add {network.address(1)}/24 dev {network.bridge}",
                f"link set {network.bridge} up",
                namespace=namespace,
            )
        write_atomically(_file(records), json.dumps(asdict(network)))
        return network


def remove_network(records: Records) -> None:
    """Remove the bridge once no host is left; the next host makes it again."""
    with records.locked(records.root):
        known = _known(records)
        if known is None or records.instance_ids():
            return
        if _is_there(known.bridge, known.namespace):
            ip_batch(f"link del {known.bridge}", namespace=known.namespace)
        _file(records).unlink()


def link_name(instance_id: str) -> str:
    """Name the machine's end of a host's link: at most 15 characters, from the random part of the
    id."""
    return "sv" + re.sub("[^0-9a-f]", "", instance_id.lower())[:12]


def plug(network: Network, instance_id: str, pid: int) -> None:
    """Give a host its link; it disappears with the host's network namespace."""
    name = link_name(instance_id)
    ip_batch(
        f"link add {name} type veth peer name eth0 netns {pid}",
        f"link set {name} master {network.bridge} up",
        namespace=network.namespace,
    )


def unplug(records: Records, instance_id: str) -> None:
    """Remove the machine's end of a link if the kernel has not done so yet."""
    known, name = _known(records), link_name(instance_id)
    namespace = known.namespace if known else ""
    if _is_there(name, namespace):
        # Another process may be removing it too, or the kernel: gone is gone.
        subprocess.run(
            [*_inside(namespace), "ip", "link", "del", name],
            capture_output=True,
            check=False,
            timeout=10,
        )


def ip_batch(*lines: str, namespace: str = "") -> None:
    """Run several ``ip`` commands in one process; raises ``CloudUnavailable`` with its words."""
    done = subprocess.run(
        [*_inside(namespace), "ip", "-batch", "-"],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    if done.returncode:
        raise CloudUnavailable(f"ip refused '{'; '.join(lines)}': {done.stderr.strip()}")


def _file(records: Records) -> Path:
    return records.root / "network.json"


def _known(records: Records) -> Network | None:
    path = _file(records)
    return Network(**json.loads(path.read_text())) if path.exists() else None


def _inside(namespace: str) -> list[str]:
    return ["nsenter", f"--net={namespace}"] if namespace else []


def _is_there(link: str, namespace: str) -> bool:
    if not namespace:
        return Path("/sys/class/net", link).exists()
    # A namespace that is gone has taken its links along.
    shown = subprocess.run(
        [*_inside(namespace), "ip", "link", "show", "dev", link],
        capture_output=True,
        check=False,
        timeout=10,
    )
    return shown.returncode == 0


def _free_subnet(cloud_id: str, namespace: str) -> str:
    listed = subprocess.run(
        [*_inside(namespace), "ip", "-json", "-4", "addr"],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    taken = {
        ipaddress.IPv4Address(info["local"])
        for link in json.loads(listed.stdout)
        for info in link.get("addr_info", [])
    }
    start = int(cloud_id, 16) % len(_SUBNETS)
    for subnet in _SUBNETS[start:] + _SUBNETS[:start]:
        if not any(address in ipaddress.IPv4Network(subnet) for address in taken):
            return str(subnet)
    raise QuotaExceeded("all test networks of 198.18.0.0/15 are in use on this machine")


@contextmanager
def _machine_lock() -> Iterator[None]:
    """Keep two clouds on one machine from choosing the same subnet; locking a folder leaves no
    file."""
    descriptor = os.open("/run", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
