"""What a plan is made of, and what it may cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2

if TYPE_CHECKING:
    from savanna.operation.v1 import operation_pb2
    from savanna.scheduler.v1 import scheduler_service_pb2


@dataclass(frozen=True)
class Limits:
    """How long things may take, in seconds, and how many of them may be done at once."""

    boot_patience: float = 900.0
    """A server that does not answer by then is given up and replaced."""

    delete_patience: float = 600.0
    script_timeout: float = 600.0
    script_patience: float = 3600.0

    cloud: str = "local"
    """Name of the cloud that everything is asked of."""

    cloud_calls: int = 64
    """Most calls of the cloud at once, of all engines together."""

    host_steps: int = 4
    """Most steps on one host at once."""

    slow_factor: float = 3.0
    """A server that takes so many times as long to answer as the half of its group is replaced."""

    slow_least: float = 30.0
    """No server is called slow before so many seconds."""


@dataclass(frozen=True)
class Refusal:
    """A plugin's statement that the goal can not be reached, as a sentence for the user."""

    message: str
    reason: str = "PLUGIN_REFUSED"
    """PLUGIN_REFUSED, or PLUGIN_FAULT when what it answered makes no sense."""


@dataclass
class Answer:
    """Everything that one run of the planner wants."""

    facts: cluster_pb2.Facts = field(default_factory=cluster_pb2.Facts)
    specs: list[operation_pb2.TaskSpec] = field(default_factory=list)
    unwanted: list[str] = field(default_factory=list)
    """Keys of open tasks that are to be skipped or stopped."""

    replan_after: float | None = None
    """Seconds until the plan is due again in any case; None when only events make it so."""

    conclusion: scheduler_service_pb2.Conclusion | None = None
