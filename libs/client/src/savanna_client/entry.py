"""What goes along with every call: who asks, for which project, and the id of the request."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import Message

from savanna_kit import errors, status
from savanna_kit.context import KEY_HEADER
from savanna_kit.interceptors import with_metadata

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Metadata = list[tuple[str, str]]

UNREACHABLE = "UNREACHABLE"
"""Reason of ``Unavailable`` when nobody answered at the address at all."""

_DETAILS = "grpc-status-details-bin"


def credentials(token: str, project: str) -> Metadata:
    """Give the metadata by which the gateway knows who asks; empty texts are not sent."""
    metadata = []
    if token:
        metadata.append(("authorization", f"Bearer {token}"))
    if project:
        metadata.append(("x-savanna-project", project))
    return metadata


class Introduction(grpc.aio.UnaryUnaryClientInterceptor):
    """Introduces the caller, and gives a write that has no request id one, so that it can be sent
    again without being done twice; the id goes along beside the message, for proxies."""

    def __init__(self, address: str, metadata: Metadata) -> None:
        self._address = address
        self._metadata = metadata

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Awaitable[Any]],
        client_call_details: grpc.aio.ClientCallDetails,
        request: object,
    ) -> Any:  # noqa: ANN401 - the type of the response is the method's
        """Make the call."""
        keyed = with_request_id(request)
        key = getattr(keyed, "request_id", "")
        beside = [(KEY_HEADER, key)] if key else []
        details = with_metadata(
            client_call_details,
            [*self._metadata, *beside],
            timeout=client_call_details.timeout,
        )
        try:
            return await continuation(details, keyed)
        except errors.Unavailable as error:
            cause = error.__cause__
            if isinstance(cause, grpc.aio.AioRpcError):
                raise failure(cause, self._address) from cause
            raise


def with_request_id(request: object) -> object:
    """Give the request with an id, when it can have one and has none; the given one stays as it
    is."""
    if not isinstance(request, Message):
        return request
    fields = request.DESCRIPTOR.fields_by_name
    if "request_id" not in fields:
        return request
    copy: Any = type(request)()  # of a type that has the field
    copy.CopyFrom(request)
    copy.request_id = copy.request_id or str(uuid.uuid4())
    return copy


def failure(call: grpc.aio.AioRpcError, address: str) -> errors.SavannaError:
    """Give the error of a failed call, telling "nobody answered" from "Savanna says it can not"."""
    error = status.from_rpc_error(call)
    trailer = call.trailing_metadata() or ()
    if isinstance(error, errors.Unavailable) and all(key != _DETAILS for key, _ in trailer):
        # Of gRPC's own sentence only the end tells something: "Connection refused".
        why = error.message.rpartition(": ")[2]
        return errors.Unavailable(
            f"Savanna does not answer at {address} ({why})",
            reason=UNREACHABLE,
            metadata={"detail": error.message},
        )
    return error
