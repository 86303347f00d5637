"""Requests that come again: what the same one has made counts, whatever has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from savanna_api_gateway.shelf import M, Shelf
    from savanna_kit.context import RequestContext

    T = TypeVar("T")


async def made_once(
    write: Callable[[], Awaitable[T]], before: Callable[[], Awaitable[T]], *, request_id: str
) -> T:
    """Do a write; if it is refused, give what the same request has made before.

    Its first try may have brought about itself what it is refused for: a quota that is used up, a
    name that is taken. It is asked for after the refusal, so that a first try that was stored
    meanwhile is found. ``before`` raises ``NotFound`` when there is nothing.
    """
    try:
        return await write()
    except errors.SavannaError:
        if not request_id:
            raise
        try:
            return await before()
        except errors.NotFound:
            pass
        raise


async def item_made_once(
    shelf: Shelf[M],
    caller: RequestContext,
    write: Callable[[], Awaitable[M]],
    *,
    request_id: str,
) -> M:
    """Do the same for an item of the catalog."""
    return await made_once(
        write, lambda: shelf.known(caller.project_id, request_id), request_id=request_id
    )
