"""No authentication: everyone is the one user of the one project.

For one's own machine only.
"""

from __future__ import annotations

import ipaddress

from savanna_api_gateway.auth.base import Identity

PROJECT = "default"
_EVERYONE = Identity("default", "default", PROJECT, PROJECT, ("admin", "member"))


class NoAuthentication:
    """Takes every token, or none."""

    any_project = True

    async def authenticate(self, token: str) -> Identity:
        """Give the one identity."""
        del token
        return _EVERYONE


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach an address: "unix:/path" or "host:port"."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
