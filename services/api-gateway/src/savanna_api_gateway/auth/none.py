"""No authentication: everyone is the one user of the one project.

For one's own machine only.
"""

from __future__ import annotations

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
