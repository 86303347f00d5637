"""What may be changed: one's own, and not what is protected."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from savanna_kit.errors import Aborted, FailedPrecondition, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row, Select, Table

_RELEASING = {"is_protected", "is_public"}
"""Protection does not stand in the way of lifting it, or of showing the thing to others."""


def own_row(
    connection: Connection, table: Table, project_id: str, row_id: str, *, noun: str
) -> Row[Any]:
    """Read the row of something that belongs to a project.

    Raises ``NotFound``, also for public things of other projects: they are seen, never changed.
    """
    row = None
    if is_storable(row_id):
        given = {"id": row_id, "project_id": project_id}
        row = connection.execute(_own(table), given).one_or_none()
    if row is None:
        raise missing(noun, row_id)
    return row


@lru_cache
def _own(table: Table) -> Select[Any]:
    return select(table).where(
        table.c.id == bindparam("id"), table.c.project_id == bindparam("project_id")
    )


def missing(noun: str, missing_id: str) -> NotFound:
    """Give the error for something that is not there."""
    word = noun.upper().replace(" ", "_")
    return NotFound(f"there is no {noun} {missing_id!r}", reason=f"{word}_NOT_FOUND")


def is_storable(text: str) -> bool:
    """Say whether a text can be stored or asked for: PostgreSQL knows no zero character."""
    return "\0" not in text


def check_unprotected(row: Any, fields: Collection[str], *, noun: str) -> None:  # noqa: ANN401 - a row or a message
    """Raise ``FailedPrecondition`` if something is protected from a change of these fields; with
    none, from its removal."""
    if row.is_protected and not (fields and set(fields) <= _RELEASING):
        word = noun.upper().replace(" ", "_")
        raise FailedPrecondition(
            f"{noun} '{row.name}' is protected: set is_protected to false first",
            reason=f"{word}_PROTECTED",
        )


def check_revision(row: Row[Any], wanted: int, *, noun: str) -> None:
    """Raise ``Aborted`` unless a revision is the stored one, or 0 for any."""
    if wanted not in (0, row.revision):
        raise Aborted(
            f"{noun} '{row.name}' was changed meanwhile: read it again", reason="ETAG_MISMATCH"
        )


def is_visible_to(project_id: str, table: Table) -> Any:  # noqa: ANN401 - a condition of SQLAlchemy
    """Give the condition for what a project may see: its own, and what is public."""
    return (table.c.project_id == project_id) | table.c.is_public.is_(True)
