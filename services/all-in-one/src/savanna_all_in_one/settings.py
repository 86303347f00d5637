"""What all-in-one can be told: by the environment, or by flags, which win."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from savanna_kit.settings import ProcessSettings, prefixed


def default_data_dir() -> Path:
    """Give the folder of a user's own data, as the XDG base directory specification names it."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "savanna"


class AllSettings(ProcessSettings):
    """All-in-one: every service in one process, with SQLite."""

    model_config = prefixed("ALL")

    data_dir: Path = Field(
        default_factory=default_data_dir,
        description="Folder of the database, keys, logs and local hosts.",
    )
    rest: str = Field("127.0.0.1:8386", description="Where REST is served: host:port.")
    grpc: str = Field("127.0.0.1:8387", description="Where the gRPC API is served: host:port.")
    auth: str = Field(
        "none",
        description="none (one project, loopback only) or tokens=FILE (a YAML list of tokens).",
    )
    cloud: str = Field("local", description="Where hosts are made: local or simulated.")
    local_hosts: str = Field(
        "auto",
        description="How the local cloud makes hosts: namespaces (root), loopback, or auto.",
    )
    plugins: list[str] = Field(
        default_factory=list,
        description="Addresses of further plugin servers, beside those installed; a JSON list.",
    )
    simulator: str = Field(
        "",
        description=(
            "Address of a simulated cloud that runs elsewhere, and outlives this process; "
            "empty: the simulated cloud is one of the services inside."
        ),
    )
    boot_seconds: float = Field(
        0.0, description="How long servers of the simulated cloud boot.", ge=0
    )
