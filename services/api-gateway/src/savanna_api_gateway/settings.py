"""What the gateway can be told."""

from __future__ import annotations

from pydantic import Field

from savanna_kit.settings import ServiceSettings, prefixed


class ApiSettings(ServiceSettings):
    """The gateway: REST and the public gRPC API."""

    model_config = prefixed("API")

    listen: str = Field(
        "127.0.0.1:8387",
        description="Where the public gRPC API is served: host:port or unix:/path.",
    )
    clear_text: bool = Field(
        False,
        description=(
            "Serve users in clear on addresses that others can reach: only where a proxy before it "
            "has TLS. Otherwise this machine alone is served without certificates."
        ),
    )
    rest_listen: str = Field("127.0.0.1:8386", description="Where REST is served: host:port.")
    auth: str = Field(
        "none",
        description="none (one project, loopback only) or tokens=FILE (a YAML list of tokens).",
    )
    conductor: str = Field(
        "127.0.0.1:8388", description="Address of the conductor: host:port or unix:/path."
    )
    engines: list[str] = Field(
        default_factory=list,
        description="Addresses of engines, asked in this order what the cloud offers; a JSON list.",
    )
    plugins: list[str] = Field(
        default_factory=list, description="Addresses of plugin servers; a JSON list."
    )
    plugin_cache_seconds: float = Field(
        5.0, description="Seconds for which the description of a plugin is taken as it was read."
    )
    cloud_cache_seconds: float = Field(
        5.0, description="Seconds for which what the cloud offers is taken as it was read."
    )
    job_binary_limit: int = Field(
        64 * 2**20, description="Bytes of the largest job binary that is taken."
    )
