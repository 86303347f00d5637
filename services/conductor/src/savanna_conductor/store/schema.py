"""The tables.

Columns are what is filtered, sorted, unique or joined; ``body`` is the ready serialised message.
Times are whole microseconds since 1970 by the clock of the database, so that both databases compare
them alike.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

NO_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""Stands for NUL, which PostgreSQL's texts can not hold and SQLite's can."""


def storable(text: str) -> str:
    """Write a text alike on both databases."""
    return text.replace("\0", NO_CHARACTER)


class AnyText(TypeDecorator[str]):
    """A text from outside, of a plugin or a cloud, which may hold anything."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: object) -> str | None:
        """Write it alike on both databases."""
        del dialect
        return value and storable(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


catalog_item = Table(
    "catalog_item",
    metadata,
    Column("kind", SmallInteger, primary_key=True),
    # Image registrations are a project's own, and two projects may register one image: their rows
    # are named by both.
    Column("id", String(130), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("is_protected", Boolean, nullable=False),
    Column("plugin_name", String(80), nullable=False),
    Column("plugin_version", String(80), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("blob_version", String(64), nullable=False),
    Column("secret", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("kind", "project_id", "name"),
)

reference = Table(
    "reference",
    metadata,
    Column("from_kind", SmallInteger, primary_key=True),
    Column("from_id", String(64), primary_key=True),
    Column("to_kind", SmallInteger, primary_key=True),
    Column("to_id", String(64), primary_key=True),
    Index("ix_reference_to", "to_kind", "to_id"),
)

blob = Table(
    "blob",
    metadata,
    Column("owner_id", String(64), primary_key=True),
    # Bytes count from the moment when their owner names their version.
    Column("version", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

cluster = Table(
    "cluster",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("is_protected", Boolean, nullable=False),
    Column("plugin_name", String(80), nullable=False),
    Column("plugin_version", String(80), nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("status_description", AnyText, nullable=False),
    Column("info", LargeBinary, nullable=False),
    Column("operation_id", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("updated", BigInteger, nullable=False),
    Column("private_key", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("project_id", "name"),
)

instance = Table(
    "instance",
    metadata,
    Column("cluster_id", ForeignKey("cluster.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("instance_id", String(64), nullable=False),
    Column("node_group", String(255), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

operation = Table(
    "operation",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("cluster_id", String(64), nullable=False),
    Column("job_id", String(64), nullable=False),
    Column("goal", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("owner", String(64), nullable=True),
    Column("cancel_requested", Boolean, nullable=False),
    Column("cancel_acknowledged", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    # 0 while it is open.
    Column("ended", BigInteger, nullable=False, default=0),
    # Where its tasks and its part of the journal are: a Place of the archive.
    Column("place", SmallInteger, nullable=False, default=0),
    # Number of the last entry of the journal that was moved to the archive; 0 for none.
    Column("archived_to", BigInteger, nullable=False, default=0),
    # Number of the tasks that were moved, by state: a serialised message.
    Column("archived_counts", LargeBinary, nullable=True),
    Column("body", LargeBinary, nullable=False),
    Index("ix_operation_state_owner", "state", "owner"),
    Index("ix_operation_cluster_id_state", "cluster_id", "state"),
    Index("ix_operation_project_id_created", "project_id", "created"),
    # How far back a journal is whole.
    Index("ix_operation_cluster_id_archived_to", "cluster_id", "archived_to"),
    Index("ix_operation_project_id_archived_to", "project_id", "archived_to"),
    # What is to be moved or removed next.
    Index("ix_operation_place_ended", "place", "ended"),
)

task = Table(
    "task",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("operation_id", ForeignKey("operation.id", ondelete="CASCADE"), nullable=False),
    Column("key", String(300), nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("session_id", String(64), nullable=False),
    Column("failed_attempts", Integer, nullable=False),
    Column("lost_attempts", Integer, nullable=False),
    Column("interruptions", Integer, nullable=False, server_default="0"),
    Column("not_before", BigInteger, nullable=False),
    Column("waiting_since", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("ended", BigInteger, nullable=False),
    Column("polled", Boolean, nullable=False),
    Column("failure", LargeBinary, nullable=False),
    # The specification, and apart from it the body, which only claims read.
    Column("spec", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("operation_id", "key"),
)

scheduler = Table(
    "scheduler",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("address", String(300), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("lost", Boolean, nullable=False),
    Column("last_commit", BigInteger, nullable=False),
    Column("last_outcome", LargeBinary, nullable=False),
    Column("started", BigInteger, nullable=False),
    # Engines that it drains: a serialised message; null when it was never told.
    Column("drains", LargeBinary, nullable=True),
)

engine_session = Table(
    "engine_session",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("engine_id", String(255), nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("started", BigInteger, nullable=False),
    # Slots by pool, as JSON.
    Column("capacity", Text, nullable=False),
)

journal = Table(
    "journal",
    metadata,
    # A row holds what one transaction told of one operation: its number is that of its last entry.
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("project_id", String(64), nullable=False),
    Column("cluster_id", String(64), nullable=False),
    Column("operation_id", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_journal_cluster_id_sequence", "cluster_id", "sequence"),
    Index("ix_journal_operation_id_sequence", "operation_id", "sequence"),
)

task_archive = Table(
    "task_archive",
    metadata,
    # A row holds many tasks of one operation, packed, and is named by the last key among them.
    Column("operation_id", ForeignKey("operation.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(300), primary_key=True),
    Column("body", LargeBinary, nullable=False),
)

journal_archive = Table(
    "journal_archive",
    metadata,
    # A row holds many rows of the journal, packed: its number is that of the last entry among them.
    Column("operation_id", ForeignKey("operation.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("body", LargeBinary, nullable=False),
)

deployment = Table(
    "deployment",
    metadata,
    # One row, as old as the database.
    Column("id", String(64), primary_key=True),
)

counter = Table(
    "counter",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

request = Table(
    "request",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("call", String(40), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("made_id", String(64), nullable=False),
    Column("created", BigInteger, nullable=False, index=True),
    # Of what was asked for; empty where nobody told.
    Column("digest", String(80), nullable=False, server_default=""),
)

job = Table(
    "job",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("project_id", String(64), nullable=False),
    Column("cluster_id", String(64), nullable=False, index=True),
    Column("state", SmallInteger, nullable=False),
    Column("operation_id", String(64), nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("remove_at_end", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_job_project_id_created", "project_id", "created"),
)

job_output = Table(
    "job_output",
    metadata,
    Column("job_id", ForeignKey("job.id", ondelete="CASCADE"), primary_key=True),
    Column("stream", SmallInteger, primary_key=True),
    Column("position", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
