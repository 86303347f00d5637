"""Who operates this deployment, and so may see and do what concerns all projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit import errors

if TYPE_CHECKING:
    from savanna_kit.context import RequestContext

ROLE = "admin"


def require_operator(caller: RequestContext, what: str) -> None:
    """Raise ``PermissionDenied`` unless the caller operates this deployment.

    ``what`` says what it is about: "the status of the mesh".
    """
    if ROLE not in caller.roles:
        raise errors.PermissionDenied(
            f"{what} concerns all projects, so that it needs the role {ROLE}: "
            "use a token of an operator, or ask one",
            reason="FORBIDDEN",
        )
