"""What a gateway measures; its gRPC calls are measured as those of every process."""

from __future__ import annotations

from savanna_kit.metrics import Counter, Histogram

REQUESTS = Counter(
    "savanna_api_requests_total",
    "Requests of REST, by group (clusters, jobs, ...; none for a path that is not served), method "
    "and status.",
    labels=("group", "method", "status"),
)
REQUEST_SECONDS = Histogram(
    "savanna_api_request_seconds",
    "Time that a request of REST took, by group.",
    labels=("group",),
)
