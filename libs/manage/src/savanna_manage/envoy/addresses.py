"""Where something listens: "host:port" or "unix:/path"."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any

_LONGEST_PATH = 107
"""Bytes of the path of a socket, unix(7)."""

_EVERYWHERE = ("0.0.0.0", "::")


@dataclass(frozen=True)
class Address:
    """A host with a port, or the path of a socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address.

        Raises ``ValueError`` with what an address looks like.
        """
        if text.startswith("unix:"):
            return cls(path=_socket_path(text.removeprefix("unix:")))
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isascii() or not port.isdigit():
            raise ValueError(f"'{text}' is no address: give host:port or unix:/path")
        if not 1 <= int(port) <= 65535:
            raise ValueError(f"'{text}' has a port that there is not: give one from 1 to 65535")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError(f"'{text}' can be read in two ways: write [{host}]:{port}")
        return cls(host=host.strip("[]"), port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_local(self) -> bool:
        """Whether nobody outside of this machine can reach it."""
        if self.path or self.host == "localhost":
            return True
        return not self.is_name and ipaddress.ip_address(self.host).is_loopback

    @property
    def is_name(self) -> bool:
        """Whether the host is a name, which has to be looked up."""
        if self.path:
            return False
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False

    def clashes(self, other: Address) -> bool:
        """Whether two can not listen there, one on each."""
        if self.path or other.path:
            return self == other
        everywhere = self.host in _EVERYWHERE or other.host in _EVERYWHERE
        return self.port == other.port and (everywhere or self.host == other.host)

    def as_envoy(self) -> dict[str, Any]:
        """Give it as ``envoy.config.core.v3.Address``."""
        if self.path:
            return {"pipe": {"path": self.path}}
        return {"socket_address": {"address": self.host, "port_value": self.port}}


def _socket_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"'unix:{path}' does not begin at the root: write unix:/path")
    if len(path.encode()) > _LONGEST_PATH:
        raise ValueError(f"'unix:{path}' is too long for a socket: {_LONGEST_PATH} bytes at most")
    return path
