"""What the scheduler can be told."""

from __future__ import annotations

from pydantic import Field

from savanna_kit.settings import ServiceSettings, prefixed


class SchedulerSettings(ServiceSettings):
    """The scheduler decides: which task next, on which engine."""

    model_config = prefixed("SCHEDULER")

    listen: str = Field(
        "127.0.0.1:8389", description="Where gRPC is served: host:port or unix:/path."
    )
    conductor: str = Field("127.0.0.1:8388", description="Address of the conductor.")
    advertise: str = Field(
        "", description="Address where engines reach this scheduler; empty: where it listens."
    )
    claim_wait_seconds: float = Field(
        20.0, description="How long one question for new operations waits at the conductor.", gt=0
    )
