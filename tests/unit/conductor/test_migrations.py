"""The schema: a fresh database gets all of it, and another one is refused with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text

from savanna.conductor.v1.cluster_service_pb2 import WatchJournalRequest
from savanna.operation.v1.operation_pb2 import JournalEntry as Entry
from savanna_conductor import queries
from savanna_conductor.main import build
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_conductor.store.schema import journal, metadata
from savanna_kit.errors import FailedPrecondition, InvalidArgument, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = dialect.open_engine(database_url, readers=1)
    yield engine
    engine.dispose()


def given(database_url: str, folder: Path) -> ConductorSettings:
    return ConductorSettings(database_url=database_url, key_file=folder / "savanna.key")


def test_the_migrations_of_an_empty_database_make_exactly_the_tables_in_the_code(
    engine: Engine,
) -> None:
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT value FROM counter")).scalar_one() == 0


def test_a_journal_of_the_first_schema_is_kept_entry_by_entry(
    engine: Engine,
) -> None:
    said = [Entry(sequence=n, message="x" * size) for n, size in ((1, 1), (2, 200), (3, 70_000))]
    migrate(engine, "001_first")
    with engine.begin() as connection:
        connection.execute(
            insert(journal),
            [
                {
                    "sequence": each.sequence,
                    "project_id": "p",
                    "cluster_id": "c",
                    "operation_id": "o",
                    "body": each.SerializeToString(),
                }
                for each in said
            ],
        )
    migrate(engine)
    with engine.connect() as connection:
        request = WatchJournalRequest(project_id="p")
        assert queries.journal_after(connection, request, 0, 10) == said
        assert queries.journal_after(connection, request, 1, 1) == said[1:2]


def test_an_empty_database_is_refused_with_the_line_to_type(
    database_url: str, tmp_path: Path
) -> None:
    with pytest.raises(FailedPrecondition, match="run: savanna-conductor migrate"):
        build(given(database_url, tmp_path))


def test_an_older_schema_is_refused_with_the_line_to_type(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
    with pytest.raises(FailedPrecondition, match="run: savanna-conductor migrate"):
        build(given(database_url, tmp_path))


def test_a_newer_schema_is_not_sent_to_migrate(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '999_later'"))
    with pytest.raises(FailedPrecondition, match="start the version that made it"):
        build(given(database_url, tmp_path))


def test_a_database_that_can_not_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://user:secret@/none?host={tmp_path}"
    with pytest.raises(Unavailable) as caught:
        build(given(url, tmp_path))
    assert "can not be used" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_of_another_kind_is_refused_with_those_that_can_be_used(tmp_path: Path) -> None:
    for url in ("mysql://user@host/name", "savanna.db"):
        with pytest.raises(InvalidArgument, match=r"sqlite:///FILE or postgresql://"):
            build(given(url, tmp_path))
