"""What the conductor can be told."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from savanna_kit.settings import ServiceSettings, prefixed


class ConductorSettings(ServiceSettings):
    """The conductor remembers: the only service that knows the database."""

    model_config = prefixed("CONDUCTOR")

    listen: str = Field(
        "127.0.0.1:8388", description="Where gRPC is served: host:port or unix:/path."
    )
    database_url: str = Field(
        "sqlite:///savanna.db",
        description="Database, as SQLAlchemy writes it: sqlite:///file or postgresql://user@host/name.",
    )
    key_file: Path = Field(
        Path("savanna.key"),
        description="Key that encrypts secrets in the database; made when missing.",
    )
    readers: int = Field(4, description="Reading transactions at once.", ge=1)
    statement_seconds: float = Field(
        10.0,
        description="How long PostgreSQL may work on one statement, its wait for locks included; a "
        "transaction may take three times as long. Then it is ended, and callers are told to ask "
        "again. 0 for as long as it wants. Migrations have no limit.",
        ge=0,
    )
    job_binary_limit: int = Field(
        64 * 2**20, description="Most bytes of one job binary that are kept.", gt=0
    )
    scheduler_lease_seconds: float = Field(6.0, description="Lease of a scheduler.", gt=0)
    engine_lease_seconds: float = Field(6.0, description="Lease of an engine's session.", gt=0)
    look_seconds: float = Field(
        0.25, description="How often waiting calls look for what other conductors wrote.", gt=0
    )
    archive_after_seconds: float = Field(
        3600.0,
        description="How long after its end the tasks and the journal of an operation stay where "
        "work is done; then they are read from an archive.",
        ge=60,
    )
    keep_finished_days: float = Field(
        90.0,
        description="How long after its end the tasks and the journal of an operation are kept at "
        "all; 0 for ever.",
        ge=0,
    )
    launch_deadline_seconds: float = Field(
        7200.0, description="How long a launch may take; 0 for as long as it wants.", ge=0
    )
    scale_deadline_seconds: float = Field(
        7200.0, description="How long a scale may take; 0 for as long as it wants.", ge=0
    )
    delete_deadline_seconds: float = Field(
        3600.0, description="How long a delete may take; 0 for as long as it wants.", ge=0
    )
    job_deadline_seconds: float = Field(
        0.0, description="How long a job may take; 0 for as long as it wants.", ge=0
    )
