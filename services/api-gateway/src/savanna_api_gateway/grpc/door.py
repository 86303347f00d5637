"""The door of the gRPC API: nobody comes in unknown."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from savanna_api_gateway.auth.entry import enter
from savanna_kit import crashes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import grpc

    from savanna_api_gateway.auth.base import Authenticator

_AUTHORIZATION = "authorization"
_BEARER = "bearer "


class Door:
    """Stands before a servicer: every method authenticates first, so none can forget to."""

    def __init__(self, servicer: object, authenticator: Authenticator) -> None:
        self._servicer = servicer
        self._authenticator = authenticator

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._servicer, name)
        if inspect.isasyncgenfunction(method):
            return self._streaming(method)
        return self._single(method)

    def _single(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(request: object, context: grpc.aio.ServicerContext[Any, Any]) -> object:
            await enter(self._authenticator, token_in(context))
            crashes.here("api.call.before")
            answer: object = await method(request, context)
            crashes.here("api.call.after")
            return answer

        return guarded

    def _streaming(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def guarded(
            request: object, context: grpc.aio.ServicerContext[Any, Any]
        ) -> AsyncIterator[object]:
            await enter(self._authenticator, token_in(context))
            async for response in method(request, context):
                yield response

        return guarded


def token_in(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Give the token in a call's metadata, "authorization: Bearer TOKEN"; "" for none."""
    for key, value in context.invocation_metadata() or ():
        if key == _AUTHORIZATION:
            text = value if isinstance(value, str) else value.decode("latin-1")
            return text[len(_BEARER) :] if text.lower().startswith(_BEARER) else text
    return ""
