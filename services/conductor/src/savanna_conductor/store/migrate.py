"""Bringing a database to this version's schema, and refusing one that is not there yet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from savanna_kit.errors import FailedPrecondition

if TYPE_CHECKING:
    from sqlalchemy import Engine


def migrate(engine: Engine) -> None:
    """Bring a database to the newest schema; an empty one gets all of it.

    Running it again changes nothing.
    """
    config = _config()
    with engine.connect().execution_options(savanna_writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def require_current(engine: Engine) -> None:
    """Raise ``FailedPrecondition`` with the line to type when the schema is not this version's."""
    with engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    wanted = ScriptDirectory.from_config(_config()).get_current_head()
    if found != wanted:
        raise FailedPrecondition(
            f"the database has schema '{found or 'none'}', this version needs '{wanted}'; "
            "run: savanna-conductor migrate",
            reason="SCHEMA_NOT_CURRENT",
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
