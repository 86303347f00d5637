"""Reading the catalog.

Plain functions on one snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, tuple_

from savanna.conductor.v1 import catalog_service_pb2 as messages
from savanna_conductor import kinds, ownership, queries
from savanna_conductor.store import schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Select

    from savanna.job.v1 import job_pb2

Item = messages.Item


def items(connection: Connection, names: Sequence[messages.ItemName]) -> list[Item]:
    """Read items, one for each name; an empty one where there is none that the project may see."""
    keys = [_key(name) for name in names]
    table = schema.catalog_item
    wanted = sorted({each for each in keys if each is not None})
    query = select(
        table.c.kind, table.c.id, table.c.project_id, table.c.is_public, table.c.body
    ).where(tuple_(table.c.kind, table.c.id).in_(wanted))
    rows = {(row.kind, row.id): row for row in connection.execute(query)} if wanted else {}
    answers = []
    for name, key in zip(names, keys, strict=True):
        row = rows.get(key) if key is not None else None
        seen = row is not None and (row.project_id == name.project_id or row.is_public)
        answers.append(Item.FromString(row.body) if row is not None and seen else Item())
    return answers


def _key(name: messages.ItemName) -> tuple[int, str] | None:
    """Give the key of a row; None for a name that no item can have."""
    try:
        kind = kinds.of_number(name.kind)
    except InvalidArgument:
        return None
    found = kinds.row_id(kind, name.project_id, name.id)
    return (kind.number, found) if ownership.is_storable(found) else None


def list_items(
    connection: Connection, request: messages.ListItemsRequest
) -> tuple[list[Item], str]:
    """Read a page of items, oldest first, and the token of the next."""
    table = schema.catalog_item
    kind = kinds.of_number(request.kind)
    query: Select[Any] = select(table.c.id, table.c.created, table.c.body).where(
        table.c.kind == kind.number, ownership.is_visible_to(request.project_id, table)
    )
    query = queries.filtered(query, table, request)
    rows, token = queries.page(connection, query, table, request.page_size, request.page_token)
    return [Item.FromString(row.body) for row in rows], token


def programs(
    connection: Connection, template_id: str
) -> tuple[job_pb2.JobTemplate | None, list[job_pb2.JobBinary]]:
    """Read a job template and the job binaries that it names, mains first."""
    found = _by_id(connection, kinds.JOB_TEMPLATE, [template_id])
    if not found:
        return None, []
    template = found[template_id].job_template
    ids = [*template.mains, *template.libs]
    binaries = _by_id(connection, kinds.JOB_BINARY, ids)
    return template, [binaries[each].job_binary for each in ids if each in binaries]


def _by_id(connection: Connection, kind: kinds.Kind, ids: Iterable[str]) -> dict[str, Item]:
    table = schema.catalog_item
    query = select(table.c.id, table.c.body).where(
        table.c.kind == kind.number, table.c.id.in_(list(ids))
    )
    return {row.id: Item.FromString(row.body) for row in connection.execute(query)}
