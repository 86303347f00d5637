"""Bodies of requests: JSON, of a bounded size, checked against the schema of the route."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from savanna_kit import errors

if TYPE_CHECKING:
    from starlette.requests import Request

    from savanna_api_gateway.rest.schemas import BodySchema, Json

_LIMIT = 2 * 2**20
"""Bytes of the largest body that describes something; programs go another way."""

_JSON = "application/json"


async def read(request: Request, schema: BodySchema) -> Json:
    """Read and check; an empty body is an empty object.

    Raises ``InvalidArgument``.
    """
    raw = await _bytes(request)
    if not raw.strip():
        body: Json = {}
    else:
        _check_type(request.headers.get("content-type", ""))
        body = _parsed(raw)
    schema.check(body)
    return body


async def _bytes(request: Request) -> bytes:
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > _LIMIT:
            raise errors.InvalidArgument(
                f"The body is larger than the {_LIMIT} bytes that are taken", reason="DATA_TOO_BIG"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _check_type(given: str) -> None:
    kind = given.partition(";")[0].strip().lower()
    if kind and kind != _JSON:
        raise errors.InvalidArgument(
            f"Content type '{kind}' isn't supported\nSend JSON as {_JSON}", reason="INVALID_DATA"
        )


def _parsed(raw: bytes) -> Json:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise errors.InvalidArgument(
            f"Malformed message body: cannot understand JSON\n{error}",
            reason="MALFORMED_REQUEST_BODY",
        ) from error
