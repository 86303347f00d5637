"""What every process measures."""

from __future__ import annotations

from savanna_kit.metrics import Histogram

RPC_SECONDS = Histogram(
    "savanna_rpc_seconds",
    "Time that a unary call took to be served, by method and status code.",
    labels=("method", "code"),
)
