"""Listeners: who may come in, and which way a call takes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from savanna_manage.envoy import transport
from savanna_manage.envoy.access_log import access_log, tls_failures
from savanna_manage.envoy.description import Grpc, Mesh, Rest
from savanna_manage.envoy.replies import local_replies
from savanna_manage.envoy.routes import KEY_HEADER, Again, Kind, Route
from savanna_manage.envoy.typed import extension, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna_manage.envoy.rules import Entry
    from savanna_manage.envoy.transport import Secrets

_MANAGER = "envoy.filters.network.http_connection_manager"
_FILTERS = "envoy.extensions.filters"
_PREVIOUS = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"

_UNSENT = ("connect-failure", "refused-stream", "reset-before-request")
_NO_ANSWER = [502, 503]


def listener(entry: Entry, kind: Kind, mesh: Mesh, secrets: Secrets) -> dict[str, Any]:
    """Give the listener of a service."""
    chain: dict[str, Any] = {
        "filters": [
            extension(
                _MANAGER,
                f"{_FILTERS}.network.http_connection_manager.v3.HttpConnectionManager",
                **_manager(entry, kind, mesh),
            )
        ]
    }
    socket = _socket(entry, kind, mesh, secrets)
    made = {
        "name": entry.name,
        "address": entry.service.listen.as_envoy(),
        "per_connection_buffer_limit_bytes": 1048576,
        "filter_chains": [chain],
    }
    if socket is not None:
        chain["transport_socket"] = socket
        made["access_log"] = [tls_failures(entry.name, mesh.access_log)]
    return made


def _socket(entry: Entry, kind: Kind, mesh: Mesh, secrets: Secrets) -> dict[str, Any] | None:
    if isinstance(entry.service, Rest):
        if entry.service.tls is None:
            return None
        alpn = ("h2", "http/1.1") if _speaks_http1(entry, kind) else ("h2",)
        return transport.front(secrets, entry.name, entry.service.tls, alpn=alpn)
    return None if mesh.tls is None else transport.inner(secrets, mesh.tls, kind.callers)


def _manager(entry: Entry, kind: Kind, mesh: Mesh) -> dict[str, Any]:
    manager: dict[str, Any] = {
        "stat_prefix": entry.name,
        "codec_type": "AUTO" if _speaks_http1(entry, kind) else "HTTP2",
        # Nobody is trusted to say for whom, or how, a call is made.
        "use_remote_address": True,
        "internal_address_config": {},
        "normalize_path": True,
        **_certificate_told(entry, mesh),
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "http2_protocol_options": {
            "max_concurrent_streams": 1000,
            "initial_stream_window_size": 1048576,
            "initial_connection_window_size": 16777216,
        },
        "request_headers_timeout": "10s",
        "access_log": [access_log(entry.name, mesh.access_log, is_http=kind.is_http)],
        "route_config": _routes(entry, kind),
        "http_filters": _filters(entry),
    }
    if kind.is_http:
        manager["local_reply_config"] = local_replies()
    if mesh.traces is not None:
        manager["tracing"] = _tracing()
    return manager


def _certificate_told(entry: Entry, mesh: Mesh) -> dict[str, Any]:
    """Tell servers who called, where Envoy knows it by a certificate; drop what callers claim."""
    if entry.is_front or mesh.tls is None:
        return {"forward_client_cert_details": "SANITIZE"}
    return {
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": {"uri": True},
    }


def _speaks_http1(entry: Entry, kind: Kind) -> bool:
    return kind.is_http or (isinstance(entry.service, Grpc) and entry.service.grpc_web)


def _filters(entry: Entry) -> list[dict[str, Any]]:
    router = extension("envoy.filters.http.router", f"{_FILTERS}.http.router.v3.Router")
    if isinstance(entry.service, Grpc) and entry.service.grpc_web:
        web = extension("envoy.filters.http.grpc_web", f"{_FILTERS}.http.grpc_web.v3.GrpcWeb")
        return [web, router]
    return [router]


def _tracing() -> dict[str, Any]:
    return {
        "provider": extension(
            "envoy.tracers.opentelemetry",
            "envoy.config.trace.v3.OpenTelemetryConfig",
            grpc_service={"envoy_grpc": {"cluster_name": "traces"}, "timeout": "1s"},
            service_name="envoy",
        )
    }


def _routes(entry: Entry, kind: Kind) -> dict[str, Any]:
    routes: dict[str, Any] = {
        "name": entry.name,
        "virtual_hosts": [
            {
                "name": entry.name,
                "domains": ["*"],
                "retry_policy": _retries(_UNSENT),
                "routes": [_route(each, entry.name, kind) for each in kind.routes],
            }
        ],
    }
    if not kind.is_http:
        # One id for a call in all logs, also for callers that give it none.
        routes["request_headers_to_add"] = [
            {
                "header": {"key": "x-savanna-request-id", "value": "req-%REQ(X-REQUEST-ID)%"},
                "append_action": "ADD_IF_ABSENT",
            }
        ]
    return routes


def _route(route: Route, cluster: str, kind: Kind) -> dict[str, Any]:
    action = {"cluster": cluster, **_limits(route, kind)}
    if route.again is Again.NEVER:
        action["retry_policy"] = {"num_retries": 0}
    elif route.again is Again.ALWAYS:
        # A server of gRPC that ends cancels what comes in at that moment.
        answers = ("retriable-status-codes",) if kind.is_http else ("unavailable", "cancelled")
        policy = action["retry_policy"] = _retries((*_UNSENT, "reset", *answers))
        if kind.is_http:
            policy["retriable_status_codes"] = _NO_ANSWER
        if route.try_seconds is not None:
            policy["per_try_timeout"] = seconds(route.try_seconds)
    return {"name": route.name, "match": _match(route), "route": action}


def _limits(route: Route, kind: Kind) -> dict[str, Any]:
    if kind.is_http:
        return {"timeout": seconds(route.seconds or 0)}
    if route.seconds is None:
        duration = {"max_stream_duration": "0s"}
    else:
        # Nought as the most of a deadline that the caller names: whatever it says.
        duration = {
            "max_stream_duration": seconds(route.seconds),
            "grpc_timeout_header_max": "0s",
        }
    return {"timeout": "0s", "idle_timeout": "0s", "max_stream_duration": duration}


def _retries(reasons: Sequence[str]) -> dict[str, Any]:
    return {
        "retry_on": ",".join(reasons),
        "num_retries": 3,
        "retry_host_predicate": [
            extension("envoy.retry_host_predicates.previous_hosts", _PREVIOUS)
        ],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
    }


def _match(route: Route) -> dict[str, Any]:
    match: dict[str, Any]
    headers: list[dict[str, Any]] = []
    if route.methods or route.suffix:
        match = {"safe_regex": {"regex": _regex(route)}}
    else:
        match = {"prefix": route.pattern}
    if route.verbs:
        verbs = {"safe_regex": {"regex": "|".join(route.verbs)}}
        headers.append({"name": ":method", "string_match": verbs})
    if route.keyed:
        headers.append({"name": KEY_HEADER, "present_match": True})
    if headers:
        match["headers"] = headers
    return match


def _regex(route: Route) -> str:
    """Write the paths of a route as RE2 has them; Envoy matches the whole path."""
    if route.suffix:
        return f"{re.escape(route.pattern)}.*{re.escape(route.suffix)}"
    service = "" if route.pattern.endswith("/") else "[A-Za-z]+/"
    names = "|".join(each.replace("*", "[A-Za-z]*") for each in route.methods)
    return f"{re.escape(route.pattern)}{service}({names})"
