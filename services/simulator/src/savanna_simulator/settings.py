"""What the simulator can be told."""

from __future__ import annotations

from pydantic import Field, field_validator

from savanna_kit.settings import ServiceSettings, prefixed
from savanna_simulator.behaviors import from_json


class SimulatorSettings(ServiceSettings):
    """The simulator is a cloud of servers that exist only as numbers, in memory."""

    model_config = prefixed("SIMULATOR")

    listen: str = Field(
        "127.0.0.1:8396", description="Where gRPC is served: host:port or unix:/path."
    )
    seed: int = Field(
        0, description="What every chance is drawn from: the same seed, the same servers misbehave."
    )
    boot_seconds: float = Field(
        1.0, description="How long a server boots where no behaviour says otherwise.", ge=0
    )
    max_servers: int = Field(0, description="Most servers at once; 0 for no limit.", ge=0)
    kept_commands: int = Field(
        200_000, description="How many commands are remembered; the oldest are forgotten.", ge=1
    )
    behaviors: str = Field(
        "[]",
        description=(
            "How servers behave from the beginning: a JSON list of savanna.simulator.v1.Behavior, "
            'for example [{"nameGlob": "*-worker-*", "probability": 0.1, "bootFails": true}].'
        ),
    )

    @field_validator("behaviors")
    @classmethod
    def _are_behaviors(cls, text: str) -> str:
        from_json(text)
        return text
