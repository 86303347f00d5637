"""Network namespaces for processes that shall have addresses of their own, joined by a bridge in
one more; everything is gone at the end."""

from __future__ import annotations

import ipaddress
import json
import secrets
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_HUB = "hub"


class Networks:
    """One network: a hub with a bridge, and who joins it."""

    def __init__(self) -> None:
        self._mark = f"svt{secrets.token_hex(3)}"
        self._subnet = _free_subnet()
        self._addresses: dict[str, str] = {}

    @property
    def hub(self) -> Path:
        """Name the namespace that joins all others."""
        return self._path(_HUB)

    @property
    def outside(self) -> str:
        """Give the address under which those who joined reach this process."""
        return self._address(254)

    def make(self) -> None:
        """Make the hub, and a link by which this process reaches it."""
        self._add(_HUB)
        self._inside(
            _HUB,
            "link set lo up",
            "link add br0 type bridge",
            f"addr add {self._address(1)}/24 dev br0",
            "link set br0 up",
        )
        # Between those who joined and the hosts behind the hub.
        _run(*self.enter(_HUB), "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        link = f"{self._mark}-u"
        _ip(f"link add {link} type veth peer name {link} netns {self._mark}-{_HUB}")
        self._inside(_HUB, f"link set {link} master br0 up")
        _ip(f"addr add {self._address(254)}/24 dev {link}", f"link set {link} up")

    def join(self, who: str) -> str:
        """Make a namespace for somebody; gives its address."""
        number = len(self._addresses) + 2
        address = self._addresses[who] = self._address(number)
        self._add(who)
        link = f"{self._mark}-{number}"
        self._inside(_HUB, f"link add {link} type veth peer name eth0 netns {self._mark}-{who}")
        self._inside(_HUB, f"link set {link} master br0 up")
        self._inside(
            who,
            "link set lo up",
            f"addr add {address}/24 dev eth0",
            "link set eth0 up",
            f"route add default via {self._address(1)}",
        )
        return address

    def address(self, who: str) -> str:
        """Give the address of somebody who joined."""
        return self._addresses[who]

    def enter(self, who: str) -> list[str]:
        """Give the words before a command that is to run there."""
        # By nsenter, not "ip netns exec": files and /sys stay those of the machine.
        return ["nsenter", f"--net={self._path(who)}"]

    def close(self) -> None:
        """Remove all of it; links go with their namespaces."""
        for who in (*self._addresses, _HUB):
            subprocess.run(
                ["ip", "netns", "del", f"{self._mark}-{who}"], capture_output=True, check=False
            )

    def _add(self, who: str) -> None:
        _run("ip", "netns", "add", f"{self._mark}-{who}")

    def _inside(self, who: str, *lines: str) -> None:
        _ip(*lines, inside=self.enter(who))

    def _path(self, who: str) -> Path:
        return Path("/run/netns", f"{self._mark}-{who}")

    def _address(self, number: int) -> str:
        return str(self._subnet[number])


@contextmanager
def networks() -> Iterator[Networks]:
    """Give a network, and remove it."""
    made = Networks()
    try:
        made.make()
        yield made
    finally:
        made.close()


def _ip(*lines: str, inside: list[str] | None = None) -> None:
    _run(*(inside or []), "ip", "-batch", "-", text="\n".join(lines) + "\n")


def _run(*words: str, text: str = "") -> str:
    done = subprocess.run(
        words, input=text, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{text}"
    return done.stdout


def _free_subnet() -> ipaddress.IPv4Network:
    """Choose a subnet that no link of this machine is in."""
    taken = [
        ipaddress.ip_address(info["local"])
        for link in json.loads(_run("ip", "-json", "-4", "addr"))
        for info in link.get("addr_info", [])
    ]
    free = [
        each
        for each in ipaddress.ip_network("10.211.0.0/16").subnets(new_prefix=24)
        if not any(address in each for address in taken)
    ]
    return ipaddress.IPv4Network(secrets.choice(free))
