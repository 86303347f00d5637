"""Entering a request: from a token to the context that goes along with every call of the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_kit import context

if TYPE_CHECKING:
    from savanna_api_gateway.auth.base import Authenticator


async def enter(authenticator: Authenticator, token: str) -> context.RequestContext:
    """Authenticate and make the identity that of the running request.

    Raises ``Unauthenticated``. Whatever the caller itself said of user, project and roles is
    forgotten; the request's id stays.
    """
    identity = await authenticator.authenticate(token)
    request = context.RequestContext(
        request_id=context.current().request_id,
        project_id=identity.project_id,
        user_id=identity.user_id,
        user_name=identity.user_name,
        roles=identity.roles,
    )
    context.enter(request)
    return request
