"""What every process measures."""

from __future__ import annotations

from savanna_kit.metrics import Gauge, Histogram

RPC_SECONDS = Histogram(
    "savanna_rpc_seconds",
    "Time that a unary call took to be served, by method and status code.",
    labels=("method", "code"),
)

CERTIFICATE_SECONDS = Gauge(
    "savanna_certificate_seconds",
    "Time until the certificate that a service shows ends, by service.",
    labels=("service",),
)
