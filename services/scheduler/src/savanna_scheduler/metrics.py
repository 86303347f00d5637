"""What a scheduler measures."""

from __future__ import annotations

from savanna_kit.metrics import COUNTS, Counter, Gauge, Histogram, Total

OPERATIONS = Gauge("savanna_scheduler_operations", "Operations that it owns.")
READY_TASKS = Gauge(
    "savanna_scheduler_ready_tasks",
    "Tasks that lack nothing but an engine, or a share of what is scarce, by pool.",
    labels=("pool",),
)
OLDEST_READY_SECONDS = Gauge(
    "savanna_scheduler_oldest_ready_seconds",
    "For how long the oldest task of a project has been ready in this way; of the 50 projects that "
    "wait longest.",
    labels=("project",),
)
ENGINES = Gauge(
    "savanna_scheduler_engines",
    "Engines that it knows: connected, drained (work was lost with them again and again), leaving "
    "(they take nothing more), or silent (with work in their hands, and no stream).",
    labels=("state",),
)
SLOTS = Gauge(
    "savanna_scheduler_slots",
    "Slots that connected engines give to this scheduler, by pool: busy or free.",
    labels=("pool", "state"),
)
UNACKNOWLEDGED_OFFERS = Gauge(
    "savanna_scheduler_unacknowledged_offers",
    "Tasks that were handed out and that their engines have not yet said to have begun.",
)
OLDEST_OFFER_SECONDS = Gauge(
    "savanna_scheduler_oldest_offer_seconds",
    "For how long the oldest of these has waited; 0 without any.",
)
STALE_RESULTS = Total(
    "savanna_scheduler_stale_results_total",
    "Results that were dropped: they came twice, or too late, when the task was others' already.",
)
LEASE_MARGIN_SECONDS = Gauge(
    "savanna_scheduler_lease_margin_seconds",
    "Rest of its lease; negative when it is over and was not yet taken by others.",
)
LIVES = Counter(
    "savanna_scheduler_lives_total",
    "Lives that it began: one for its start, one more for each lease or trust in its memory lost.",
)
COMMIT_CHANGES = Histogram(
    "savanna_scheduler_commit_changes",
    "Decisions that were recorded in one commit.",
    bounds=COUNTS,
)
COMMITS_REFUSED = Counter(
    "savanna_scheduler_commits_refused_total",
    "Commits that the conductor could not store: the operation at fault is failed, others go on.",
)
COMMIT_SECONDS = Histogram(
    "savanna_scheduler_commit_seconds",
    "Time from asking the conductor to record decisions until it had.",
)
