"""What the engine can be told."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal

from pydantic import Field

from savanna_kit.settings import ServiceSettings, prefixed


class EngineSettings(ServiceSettings):
    """The engine does: one atomic step at a time, in clouds and on hosts."""

    model_config = prefixed("ENGINE")

    listen: str = Field(
        "127.0.0.1:8390",
        description="Where gRPC is served (what the cloud offers): host:port or unix:/path.",
    )
    engine_id: str = Field(
        default_factory=socket.gethostname,
        description="Name of this engine, for people; the same over restarts.",
    )
    conductor: str = Field(
        "127.0.0.1:8388", description="Address of the conductor: host:port or unix:/path."
    )
    plugins: list[str] = Field(
        default_factory=list, description="Addresses of plugin servers; a JSON list."
    )
    cloud: str = Field("local", description="Where hosts are made: local or simulated.")
    local_dir: Path = Field(
        Path("savanna-hosts"), description="Folder of the hosts that the local cloud makes."
    )
    local_hosts: Literal["auto", "namespaces", "loopback"] = Field(
        "auto",
        description="How the local cloud makes hosts: namespaces (root), loopback, or auto.",
    )
    local_network: Path | None = Field(
        None,
        description=(
            "Network namespace that joins the hosts of the local cloud, for example "
            "/run/netns/hosts; the engine's own if not set. For engines in namespaces of their own."
        ),
    )
    simulator: str = Field("127.0.0.1:8396", description="Address of the simulated cloud.")
    ssh_slots: int = Field(16, description="Steps on hosts at once.", ge=1)
    cloud_slots: int = Field(16, description="Calls of the cloud at once.", ge=1)
    plan_slots: int = Field(4, description="Plans at once.", ge=1)
    cloud_calls: int = Field(
        64,
        description=(
            "Calls of the cloud at once of all engines together; the same on each of them. "
            "Schedulers share them in equal parts, each of at least one."
        ),
        ge=1,
    )
    host_steps: int = Field(
        4,
        description=(
            "Steps on one host at once, of all operations; the same on each engine. "
            "Schedulers share them in equal parts, each of at least one."
        ),
        ge=1,
    )
    find_schedulers_seconds: float = Field(
        0.5, description="How often to look for schedulers that are new.", gt=0
    )
    attempt_log: Path | None = Field(
        None,
        description=(
            "File in which the begin and end of each step is told, on disk before it goes on: "
            "for checks, not for every day. Engines may share one."
        ),
    )
    boot_patience_seconds: float = Field(
        900.0, description="A server that does not answer by then is replaced.", gt=0
    )
    delete_patience_seconds: float = Field(
        600.0, description="How long the cloud may take to remove a server.", gt=0
    )
    sweep_interval_seconds: float = Field(
        300.0,
        description="How often to look for servers that belong to nobody (orphans); 0 for never.",
        ge=0,
    )
    orphan_grace_seconds: float = Field(
        600.0,
        description=(
            "A younger server is never called an orphan; more than the clocks of the cloud and "
            "of this machine differ."
        ),
        ge=0,
    )
    sweep_clean: int = Field(
        0,
        description=(
            "Remove orphans unasked, if a sweep finds at most so many: more rather mean that a "
            "database was lost or is an old one. 0 only reports."
        ),
        ge=0,
    )
