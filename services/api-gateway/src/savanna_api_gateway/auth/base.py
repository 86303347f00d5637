"""The port behind which callers become known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Identity:
    """Who asks, and for which project."""

    user_id: str
    user_name: str
    project_id: str
    project_name: str
    roles: tuple[str, ...]


class Authenticator(Protocol):
    """Tells who stands behind a token."""

    any_project: bool
    """Whether the project in a path may be any; the identity's own counts all the same."""

    async def authenticate(self, token: str) -> Identity:
        """Give the identity of a token, "" when none was sent.

        Raises ``Unauthenticated``.
        """
