"""The access log: one line of JSON for each call, by which it is found in the logs of services, and
for each connection that was refused."""

from __future__ import annotations

from typing import Any

from savanna_manage.envoy.typed import extension

_LOG = "envoy.extensions.access_loggers.file.v3.FileAccessLog"

_FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "route": "%ROUTE_NAME%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "milliseconds": "%DURATION%",
    "tries": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream_host": "%UPSTREAM_HOST%",
    "upstream_failure": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
    "caller": "%DOWNSTREAM_PEER_URI_SAN%",
    "caller_address": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "traceparent": "%REQ(TRACEPARENT)%",
}


def access_log(listener: str, path: str, *, is_http: bool) -> dict[str, Any]:
    """Give the log of a listener."""
    ids = {"request_id": "%REQ(X-SAVANNA-REQUEST-ID)%"}
    if is_http:
        # The gateway makes the id of a request itself, and says it in its answer; where there is
        # none, Envoy's own answer has the other.
        ids = {"request_id": "%RESP(X-OPENSTACK-REQUEST-ID)%", "error_id": "%REQ(X-REQUEST-ID)%"}
    return extension(
        "envoy.access_loggers.file",
        _LOG,
        path=path,
        log_format={
            "json_format": {"listener": listener, **_FIELDS, **ids},
            "omit_empty_values": True,
        },
    )


def tls_failures(listener: str, path: str) -> dict[str, Any]:
    """Give the log of connections whose TLS failed: who was refused, and for what."""
    return {
        **extension(
            "envoy.access_loggers.file",
            _LOG,
            path=path,
            log_format={
                "json_format": {
                    "listener": listener,
                    "time": _FIELDS["time"],
                    "tls_failure": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
                    "caller": _FIELDS["caller"],
                    "caller_address": _FIELDS["caller_address"],
                },
                "omit_empty_values": True,
            },
        ),
        "filter": {
            "extension_filter": extension(
                "envoy.access_loggers.extension_filters.cel",
                "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
                expression="connection.transport_failure_reason != ''",
            )
        },
    }
