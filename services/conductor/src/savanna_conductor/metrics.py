"""What a conductor measures."""

from __future__ import annotations

from savanna_kit.metrics import COUNTS, LONG_SECONDS, Counter, Gauge, Histogram

CLUSTERS_LAUNCHING = Gauge(
    "savanna_clusters_launching",
    "Clusters that are being launched now. Every conductor tells the same: take the greatest.",
)
CREATION_SECONDS = Histogram(
    "savanna_cluster_creation_seconds",
    "Time from the request for a cluster until it was launched, by ranges of its nodes and of the "
    "engines that took part; launches that succeeded.",
    labels=("nodes", "engines"),
    bounds=LONG_SECONDS,
)
CREATION_SECONDS_WITHOUT_BOOT = Histogram(
    "savanna_cluster_creation_without_boot_seconds",
    "The same without the boot of the server that took longest to boot, from when the cloud had "
    "made it until it let somebody in.",
    labels=("nodes", "engines"),
    bounds=LONG_SECONDS,
)
OPERATIONS = Gauge(
    "savanna_operations",
    "Operations that have not ended, by goal and state: held, pending, running. Every conductor "
    "tells the same: take the greatest.",
    labels=("goal", "state"),
)
OLDEST_UNOWNED_SECONDS = Gauge(
    "savanna_oldest_unowned_operation_seconds",
    "For how long the oldest operation that no scheduler owns has been there; 0 without any. Every "
    "conductor tells the same.",
)
LIVING = Gauge(
    "savanna_living",
    "Schedulers and engine sessions whose leases go on. Every conductor tells the same.",
    labels=("kind",),
)
TRANSACTION_SECONDS = Histogram(
    "savanna_conductor_transaction_seconds",
    "Time of a writing transaction, from its turn among those of all conductors to its commit.",
)
TRANSACTION_WRITES = Histogram(
    "savanna_conductor_transaction_writes",
    "Writes that shared a transaction.",
    bounds=COUNTS,
)
CHANGES = Counter(
    "savanna_conductor_changes_total",
    "Decisions of schedulers, by verdict: applied; stale, session_ended or not_owned for what came "
    "too late and was dropped; session_alive for what came too early; invalid.",
    labels=("verdict",),
)
WATCH_LAG_SECONDS = Histogram(
    "savanna_conductor_watch_lag_seconds",
    "Time from when something was committed until it was given to a watcher that had seen all "
    "before, by the clocks of the database and of this machine.",
)
