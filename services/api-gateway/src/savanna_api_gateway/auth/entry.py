"""Entering a request: from a token to the context that goes along with every call of the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit import context, errors

if TYPE_CHECKING:
    from savanna_api_gateway.auth.base import Authenticator


async def enter(authenticator: Authenticator, token: str) -> context.RequestContext:
    """Authenticate and make the identity that of the running request.

    Raises ``Unauthenticated``, and ``PermissionDenied`` when the caller asks for a project that is
    not its own. Whatever the caller itself said of user and roles is forgotten; the request's id
    stays.
    """
    identity = await authenticator.authenticate(token)
    asked = context.current().project_id
    if asked and asked != identity.project_id and not authenticator.any_project:
        raise errors.PermissionDenied(
            f"the token is not of project {asked!r}; leave the project out, or use a token of it",
            reason="WRONG_PROJECT",
        )
    request = context.RequestContext(
        request_id=context.current().request_id,
        project_id=identity.project_id,
        user_id=identity.user_id,
        user_name=identity.user_name,
        roles=identity.roles,
    )
    context.enter(request)
    return request
