"""The door of the gRPC API: nobody comes in unknown."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from savanna_api_gateway.auth.entry import enter
from savanna_api_gateway.core.problems import Problems, Reason
from savanna_kit import crashes
from savanna_kit.context import KEY_HEADER, LONGEST_KEY, enter_digest

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
            _take_key(request, context)
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
    text = _metadata(context, _AUTHORIZATION)
    return text[len(_BEARER) :] if text.lower().startswith(_BEARER) else text


def _take_key(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:  # noqa: ANN401 - of any method
    """Let the key beside a message count where the message has none: by that one a proxy took the
    call for one that may be sent again.

    The message without its key is what tells whether it is the same request.

    Raises ``InvalidArgument`` for a key that is too long to be kept.
    """
    given = getattr(request, "request_id", None)
    if given is None:
        return
    request.request_id = ""
    name = request.DESCRIPTOR.full_name
    enter_digest(name.encode(), request.SerializeToString(deterministic=True))
    request.request_id = given or _metadata(context, KEY_HEADER)
    if len(request.request_id) > LONGEST_KEY:
        problems = Problems()
        problems.add(
            "request_id",
            Reason.INVALID_DATA,
            f"request_id has {len(request.request_id)} characters, and {LONGEST_KEY} is the most: "
            "give a UUID, new for each request and the same when it is sent again",
        )
        problems.raise_any()


def _metadata(context: grpc.aio.ServicerContext[Any, Any], name: str) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == name:
            return value if isinstance(value, str) else value.decode("latin-1")
    return ""
