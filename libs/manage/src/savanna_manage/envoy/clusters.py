"""Clusters: the servers of each service, who of them is well, and how much they are given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from savanna_manage.envoy import transport
from savanna_manage.envoy.typed import seconds, typed

if TYPE_CHECKING:
    from savanna_manage.envoy.addresses import Address
    from savanna_manage.envoy.description import MeshTls
    from savanna_manage.envoy.routes import Kind
    from savanna_manage.envoy.rules import Entry
    from savanna_manage.envoy.transport import Secrets

_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_IDLE_SECONDS = 60.0
"""Less than the 75 seconds after which a gateway closes what is idle: a write that crossed with
that could not be sent again."""

_HEALTH = {
    "timeout": "2s",
    "interval": "1s",
    # Without calls, too: else a server that came back would be found a minute later.
    "no_traffic_interval": "1s",
    "interval_jitter_percent": 20,
    "unhealthy_threshold": 2,
    "healthy_threshold": 1,
}

_OUTLIERS = {
    # Only what says that a server does not answer; that it refuses a request says nothing of it.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "consecutive_gateway_failure": 5,
    "enforcing_consecutive_gateway_failure": 100,
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_time": "30s",
    # When all of them fail it is hardly theirs: half of them stay.
    "max_ejection_percent": 50,
}

_LIMITS = {
    "max_connections": 1024,
    "max_pending_requests": 1024,
    # Watches are requests that last.
    "max_requests": 8192,
    # A part of what is under way, so that tries do not become a storm of their own.
    "retry_budget": {"budget_percent": {"value": 25}, "min_retry_concurrency": 100},
}


def cluster(entry: Entry, kind: Kind, tls: MeshTls | None, secrets: Secrets) -> dict[str, Any]:
    """Give the cluster of a service."""
    made: dict[str, Any] = {
        **_servers(entry.name, entry.at),
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP: _http1() if kind.is_http else _http2()},
        "health_checks": [{**_HEALTH, **_question(kind)}],
        # Rather no answer than one from a server that says that it is not well.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}},
        "circuit_breakers": {"thresholds": [_LIMITS]},
    }
    if len(entry.at) > 1:
        made["outlier_detection"] = _OUTLIERS
    if tls is not None and not entry.service.plain:
        alpn = "http/1.1" if kind.is_http else "h2"
        made["transport_socket"] = transport.upstream(secrets, tls, kind.role, alpn=alpn)
    return made


def collector(address: Address) -> dict[str, Any]:
    """Give the cluster of the collector of traces."""
    options = typed(_HTTP, explicit_http_config={"http2_protocol_options": {}})
    return {
        **_servers("traces", [address]),
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP: options},
    }


def _servers(name: str, at: list[Address]) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": each.as_envoy()}} for each in at]
    return {
        "name": name,
        "type": "STRICT_DNS" if any(each.is_name for each in at) else "STATIC",
        # Of two, the one with the fewest calls would be the one that refuses them all.
        "lb_policy": "ROUND_ROBIN",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _question(kind: Kind) -> dict[str, Any]:
    if kind.health:
        return {"grpc_health_check": {"service_name": kind.health}}
    # The document of versions needs no token and asks nobody.
    statuses = [{"start": 200, "end": 201}, {"start": 300, "end": 301}]
    return {"http_health_check": {"path": "/", "expected_statuses": statuses}}


def _http1() -> dict[str, Any]:
    return typed(
        _HTTP,
        common_http_protocol_options={"idle_timeout": seconds(_IDLE_SECONDS)},
        explicit_http_config={"http_protocol_options": {}},
    )


def _http2() -> dict[str, Any]:
    # A server that is gone without a word is noticed though nothing is sent to it.
    keepalive = {"interval": "20s", "timeout": "10s"}
    return typed(
        _HTTP,
        explicit_http_config={"http2_protocol_options": {"connection_keepalive": keepalive}},
    )
