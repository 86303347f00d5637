"""The schema: a fresh database gets all of it, and another one is refused with what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, text

from savanna.conductor.v1.cluster_service_pb2 import WatchJournalRequest, WatchJournalResponse
from savanna.operation.v1.operation_pb2 import JournalEntry as Entry
from savanna.operation.v1.operation_pb2 import Operation
from savanna_conductor import journal as reading
from savanna_conductor import portions, queries, retention
from savanna_conductor.main import build
from savanna_conductor.settings import ConductorSettings
from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_conductor.store.schema import journal, metadata
from savanna_conductor.store.transaction import Transaction
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
        assert reading.after(connection, request, 0, 10) == said
        assert reading.after(connection, request, 1, 1) == said[1:2]


def test_operations_of_a_schema_without_archive_are_kept_and_archived_by_when_they_ended(
    engine: Engine,
) -> None:
    migrate(engine, "004_deployment")
    states = {"open": Operation.STATE_RUNNING, "done": Operation.STATE_SUCCEEDED}
    with engine.begin() as connection:
        for name, state in states.items():
            body = Operation(id=name, project_id="p", state=state)
            if name == "done":
                body.end_time.FromMicroseconds(1000)
            connection.execute(
                _FORMER_OPERATION, {"id": name, "state": state, "body": body.SerializeToString()}
            )
            connection.execute(
                _FORMER_TASK, {"id": f"{name}/1", "operation_id": name, "empty": b""}
            )
        said = Entry(sequence=7, project_id="p", operation_id="done")
        row = {"sequence": 7, "project_id": "p", "cluster_id": "c", "operation_id": "done"}
        page = WatchJournalResponse(entries=[said]).SerializeToString()
        connection.execute(insert(journal), [{**row, "body": page}])
    migrate(engine)
    with engine.begin() as connection:
        assert portions.due(connection, 1000) == []
        packed = portions.pack(portions.due(connection, 1001))
        assert [each.operation_id for each in packed] == ["done"]
        assert retention.move(Transaction(connection, 2000), packed) == 1
        request = WatchJournalRequest(project_id="p", operation_id="done")
        assert reading.after(connection, request, 0, 10) == [said]
        for name, state in states.items():
            found = queries.operation(connection, name)
            assert (found.state, found.tasks.total) == (state, 1)
            assert [each.id for each in queries.tasks(connection, [name])] == [f"{name}/1"]


_FORMER_OPERATION = text(
    "INSERT INTO operation (id, project_id, cluster_id, job_id, goal, state, cancel_requested, "
    "cancel_acknowledged, created, body) "
    "VALUES (:id, 'p', 'c', '', 1, :state, false, false, 1, :body)"
)
_FORMER_TASK = text(
    "INSERT INTO task (id, operation_id, key, position, state, epoch, session_id, "
    "failed_attempts, lost_attempts, not_before, waiting_since, created, started, ended, polled, "
    "failure, spec, body) VALUES (:id, :operation_id, 'plan/1', 1, 3, 1, '', 0, 0, 0, 0, 1, 1, 1, "
    "false, :empty, :empty, :empty)"
)


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
