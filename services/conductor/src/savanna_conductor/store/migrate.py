"""Bringing a database to this version's schema, and refusing one that is not there yet."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import OperationalError

from savanna_conductor.store import dialect
from savanna_kit.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine


def migrate(engine: Engine, revision: str = "head") -> None:
    """Bring a database to the newest schema, or to a named one; an empty one gets all of it.

    Running it again changes nothing.
    """
    config = _config()
    with (
        _reached(engine),
        dialect.for_writing(engine.connect()) as connection,
        connection.begin(),
    ):
        dialect.become_writer(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def require_current(engine: Engine) -> str:
    """Give the version of the schema, which is this one's.

    Raises ``FailedPrecondition`` with what to do when it is not.
    """
    with _reached(engine), engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    wanted = scripts.get_current_head()
    if found is not None and found == wanted:
        return found
    known = {each.revision for each in scripts.walk_revisions()}
    if found is not None and found not in known:
        raise FailedPrecondition(
            f"the database has schema '{found}', which is newer than this version's '{wanted}'; "
            "start the version that made it",
            reason="SCHEMA_NEWER",
        )
    raise FailedPrecondition(
        f"the database has schema '{found or 'none'}', this version needs '{wanted}'; "
        "run: savanna-conductor migrate",
        reason="SCHEMA_NOT_CURRENT",
    )


@contextmanager
def _reached(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        where = engine.url.render_as_string(hide_password=True)
        raise Unavailable(
            f"the database {where} can not be used: {str(error.orig).strip()}",
            reason="DATABASE_UNAVAILABLE",
        ) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
