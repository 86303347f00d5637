"""What an engine measures."""

from __future__ import annotations

from savanna_kit.metrics import LONG_SECONDS, SECONDS, Counter, Gauge, Histogram

SLOTS = Gauge(
    "savanna_engine_slots",
    "How many steps it does at once in all, by pool.",
    labels=("pool",),
)
SLOTS_BUSY = Gauge(
    "savanna_engine_slots_busy",
    "How many steps it does now, by pool.",
    labels=("pool",),
)
STEP_SECONDS = Histogram(
    "savanna_engine_step_seconds",
    "Time that an attempt of a step took, by kind and outcome: succeeded, failed, not_yet, "
    "cancelled.",
    labels=("kind", "outcome"),
    bounds=(0.01, 0.05, 0.1, *LONG_SECONDS),
)
UNACKNOWLEDGED_RESULTS = Gauge(
    "savanna_engine_unacknowledged_results",
    "Results that no scheduler has yet said to be stored.",
)
FENCE_MARGIN_SECONDS = Gauge(
    "savanna_engine_fence_margin_seconds",
    "Time until it stops all that it runs, should it not be heard before; it is heard once a beat.",
)
SESSIONS = Counter(
    "savanna_engine_sessions_total",
    "Sessions that it began: one for its start, one more for each time that it was not heard.",
)
CLOUD_CALL_SECONDS = Histogram(
    "savanna_engine_cloud_call_seconds",
    "Time that a call of the cloud took, by call and outcome: ok, or the class of its error.",
    labels=("call", "outcome"),
    bounds=(*SECONDS, 30.0, 60.0),
)
SSH_CALL_SECONDS = Histogram(
    "savanna_engine_ssh_call_seconds",
    "Time that a call of a host took, scripts that are waited for among them, by call and outcome: "
    "ok, or the class of its error.",
    labels=("call", "outcome"),
    bounds=(0.01, 0.05, 0.1, *LONG_SECONDS),
)
ORPHANS = Gauge(
    "savanna_engine_orphans",
    "Servers of the cloud that belonged to nobody when this engine last looked.",
)
ORPHANS_CLEANED = Counter(
    "savanna_engine_orphans_cleaned_total",
    "Wishes to remove a server that belongs to nobody, of users and of sweeps, by outcome: "
    "removed, removing, absent, refused (it is no orphan), failed.",
    labels=("outcome",),
)
SWEEPS = Counter(
    "savanna_engine_sweeps_total",
    "Looks for servers that belong to nobody, by outcome: ended, failed.",
    labels=("outcome",),
)
