"""The HTTP application: who asks, what for, in which version; then the route's handler.

The order is Sahara's: route, microversion, role, what the path names, body, parameters, handler.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from savanna_api_gateway import metrics
from savanna_api_gateway.auth.entry import enter
from savanna_api_gateway.rest import bodies, failures, microversion, paging, versions
from savanna_api_gateway.rest.listener import CALLER
from savanna_api_gateway.rest.routing import Call
from savanna_kit import context, errors, logs, telemetry
from savanna_kit.identity import FORWARDED, caller_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from starlette.types import Receive, Scope, Send

    from savanna_api_gateway.auth.base import Authenticator
    from savanna_api_gateway.rest.failures import Failure
    from savanna_api_gateway.rest.routing import Match, Route, Table
    from savanna_api_gateway.rest.schemas import Json

log = logs.get_logger(__name__)

_TOKEN = "X-Auth-Token"
_REQUEST_ID = "x-openstack-request-id"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"))
_SECONDS = 60.0
"""Time for a request that is not an upload: as long as a plugin and a conductor may need."""

_UPLOAD_SECONDS = 600.0


class App:
    """An ASGI application over tables of routes, by mount.

    ``callers`` are the roles that may call where certificates are shown.
    """

    def __init__(
        self,
        tables: Mapping[str, Table],
        authenticator: Authenticator,
        *,
        callers: frozenset[str] = frozenset(),
    ) -> None:
        self._tables = dict(tables)
        self._authenticator = authenticator
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request = Request(scope, receive)
        request_id = f"req-{uuid.uuid4()}"
        context.enter(context.RequestContext(request_id))
        begin = time.perf_counter()
        with _observed(request, request_id):
            response = await self._answer(request, request_id)
            if response is not None:
                response.headers[_REQUEST_ID] = request_id
                await response(scope, receive, send)
                _measure(request, response, time.perf_counter() - begin)

    async def _answer(self, request: Request, request_id: str) -> Response | None:
        error_id = request_id.removeprefix("req-")
        headers: dict[str, str] = {}
        try:
            return await self._served(request, headers)
        except ClientDisconnect:
            return None
        except errors.SavannaError as error:
            failure = failures.failure_of(error, error_id)
            log.info(
                "request_refused", status=failure.status, reason=error.reason, error=error.message
            )
        except TimeoutError:
            late = errors.DeadlineExceeded(
                "The request took longer than it may; it may have taken "
                "effect: look before you send it again"
            )
            failure = failures.failure_of(late, error_id)
        except Exception:
            log.exception("request_failed", method=request.method, path=request.url.path)
            failure = failures.fault(error_id)
        return _failed(failure, headers)

    async def _served(self, request: Request, headers: MutableMapping[str, str]) -> Response:
        self._check_certificate(request)
        path = request.scope["path"]
        if path in ("", "/"):
            return _json(versions.document(str(request.base_url)), 300)
        caller = await enter(self._authenticator, request.headers.get(_TOKEN, ""))
        mount, _, below = path.strip("/").partition("/")
        table = self._tables.get(mount)
        if table is None or not below:
            return _failed(failures.unrouted(404, "Incorrect path"), headers)
        project, rest = table.split(below)
        if project and project != caller.project_id and not self._authenticator.any_project:
            text = "Token tenant != requested tenant"
            raise errors.Unauthenticated(text, reason="UNAUTHENTICATED")
        asked = microversion.asked(request.headers.get(microversion.HEADER))
        headers["Vary"] = microversion.HEADER
        headers[microversion.HEADER] = f"{microversion.SERVICE} {asked.said}"
        match = table.match(rest)
        if match is None:
            return _failed(failures.unrouted(404, _NOT_FOUND), headers)
        request.state.group = match.routes[0].path.split("/")[1]
        if asked.failure is not None:
            return _failed(asked.failure, headers)
        route = match.route(request.method, asked.version)
        if route is None:
            return _failed(_no_method(match, request.method, asked.version), headers)
        seconds = _UPLOAD_SECONDS if route.raw else _SECONDS
        context.enter_deadline(seconds)
        async with asyncio.timeout(seconds):
            call = await _call(request, caller, route, match, asked.version)
            return _finished(await route.handle(call), route, headers)

    def _check_certificate(self, request: Request) -> None:
        names = request.scope.get("state", {}).get(CALLER)
        if names is None:
            return
        role = caller_of(names, request.headers.get(FORWARDED, ""))
        if role not in self._callers:
            raise errors.PermissionDenied(
                f"REST is for {', '.join(sorted(self._callers))}, and the caller's certificate "
                f"says {role or 'no role'}\nGive the caller a certificate of its role",
                reason="CALLER_NOT_ALLOWED",
            )


_NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please "
    "check your spelling and try again."
)


async def _call(
    request: Request,
    caller: context.RequestContext,
    route: Route,
    match: Match,
    version: microversion.Version,
) -> Call:
    if route.role and route.role not in caller.roles:
        raise errors.PermissionDenied(
            f"You are not authorized to complete this action\nIt needs the role {route.role}",
            reason="FORBIDDEN",
        )
    subject = await route.find(caller, match.parameters) if route.find else None
    body = await bodies.read(request, route.body) if route.body else None
    query = request.query_params
    unknown = set(query) - {*route.query, *paging.PARAMETERS}
    if unknown:
        raise errors.InvalidArgument(
            f"The only valid params for {route.handle.__name__} are {list(route.query)} "
            f"and {list(paging.PARAMETERS)}",
            reason="INVALID_PARAMS_ON_REQUEST",
        )
    if any("\0" in value for value in query.values()):
        raise errors.InvalidArgument("Parameters must not contain nulls", reason="INVALID_DATA")
    if key := _key(request):
        path, asked = request.scope["path"], orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        context.enter_digest(request.method.encode(), path.encode(), asked)
    return Call(caller, version, match.parameters, query, body, subject, request, key=key)


def _key(request: Request) -> str:
    key: str = request.headers.get(context.KEY_HEADER, "")
    if len(key) > context.LONGEST_KEY:
        raise errors.InvalidArgument(
            f"The header {context.KEY_HEADER} has {len(key)} characters, and {context.LONGEST_KEY} "
            "is the most\nGive a UUID, new for each request and the same when it is sent again",
            reason="INVALID_DATA",
        )
    return key


def _no_method(match: Match, method: str, version: microversion.Version) -> Failure:
    later = [each.since for each in match.routes if each.method == method]
    hint = ""
    if later:
        least = min(later)
        header = f"{microversion.HEADER}: {microversion.SERVICE} {least}"
        hint = f" It is there from microversion {least} on: send the header {header}"
    methods = match.methods(version)
    if not methods:
        return failures.unrouted(404, _NOT_FOUND + hint)
    text = "The method is not allowed for the requested URL."
    return failures.unrouted(405, text + hint, {"Allow": ", ".join(methods)})


def _finished(answer: Json | Response, route: Route, headers: Mapping[str, str]) -> Response:
    if isinstance(answer, Response):
        answer.headers.update(headers)
        return answer
    if answer is None:
        return Response(status_code=route.status, headers=dict(headers))
    # A removal that has something to say is not without content.
    return _json(answer, 200 if route.status == 204 else route.status, headers)


def _json(body: Json, status: int, headers: Mapping[str, str] | None = None) -> Response:
    return Response(
        orjson.dumps(body), status, headers=dict(headers or {}), media_type="application/json"
    )


def _failed(failure: Failure, headers: Mapping[str, str]) -> Response:
    return _json(failure.body, failure.status, {**headers, **failure.headers})


def _measure(request: Request, response: Response, seconds: float) -> None:
    group = getattr(request.state, "group", "none")
    method = request.method if request.method in _METHODS else "OTHER"
    metrics.REQUESTS.add(1, group, method, str(response.status_code))
    metrics.REQUEST_SECONDS.record(seconds, group)


@contextmanager
def _observed(request: Request, request_id: str) -> Iterator[Any]:
    name = f"{request.method} {request.scope['path'].strip('/').partition('/')[0]}"
    parent = request.headers.get(telemetry.TRACEPARENT, "")
    with (
        telemetry.span(name, parent) as span,
        structlog.contextvars.bound_contextvars(request_id=request_id),
    ):
        yield span
