"""The catalog: what users write down before clusters and jobs exist.

All kinds obey the same rules; ``kinds`` says what differs.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from savanna.conductor.v1 import catalog_service_pb2 as messages
from savanna.job.v1 import job_pb2
from savanna_conductor import kinds, ownership, references, requests
from savanna_conductor.store import schema
from savanna_kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from savanna_conductor.keys import Secrets
    from savanna_conductor.store.transaction import Transaction

Inner = kinds.Inner
Item = messages.Item
MOST_ID, MOST_NAME, MOST_PLUGIN = 64, 255, 80
"""Characters of the longest id, name and word of a plugin."""


def create(transaction: Transaction, secrets: Secrets, request: messages.CreateItemRequest) -> Item:
    """Store an item; the same request gives the same one.

    Raises ``AlreadyExists``, and ``NotFound`` for what it refers to.
    """
    kind = kinds.of_item(request.item)
    made = requests.find(
        transaction,
        "CreateItem",
        request.project_id,
        request.request_id,
        known_only=request.known_only,
    )
    if made is not None:
        return _made(transaction, kind, request.project_id, made)
    item = Item()
    item.CopyFrom(request.item)
    inner = kind.inner(item)
    kind.clear_output(inner)
    inner.id = inner.id or str(uuid.uuid4())
    inner.project_id = request.project_id
    inner.revision = 1
    _check_texts(inner)
    former = None
    if kind is kinds.IMAGE:
        former = _register_again(transaction, kind, inner)
    else:
        inner.create_time.FromMicroseconds(transaction.now)
        _check_free(transaction, kind, inner)
    if kind is kinds.JOB_BINARY:
        _settle_url(inner)
    if former is None:
        _check_used(transaction, kind, inner)
        secret = _take_secret(secrets, inner)
        row = {**_columns(transaction, kind, item), "secret": secret, "blob_version": ""}
        transaction.connection.execute(insert(schema.catalog_item).values(row))
        references.note(transaction, (kind.number, inner.id), kind.used(inner))
    else:
        _store(transaction, kind, item)
    requests.remember(transaction, "CreateItem", request.project_id, request.request_id, inner.id)
    return item


def _made(transaction: Transaction, kind: kinds.Kind, project_id: str, item_id: str) -> Item:
    row = _own(transaction, kind, project_id, item_id)
    return Item.FromString(row.body)


def _check_texts(inner: Inner) -> None:
    limits = {
        "id": MOST_ID,
        "name": MOST_NAME,
        "plugin_name": MOST_PLUGIN,
        "plugin_version": MOST_PLUGIN,
    }
    for name, most in limits.items():
        text = getattr(inner, name, "")
        if len(text) > most or not ownership.is_storable(text):
            raise InvalidArgument(
                f"{name} must have at most {most} characters, and none of them zero",
                reason="TEXT_INVALID",
            )


def _register_again(transaction: Transaction, kind: kinds.Kind, inner: Inner) -> Row[Any] | None:
    """Find the registration of an image that a new one replaces."""
    table = schema.catalog_item
    row_id = kinds.row_id(kind, inner.project_id, inner.id)
    query = select(table).where(table.c.kind == kind.number, table.c.id == row_id)
    row = transaction.connection.execute(query).one_or_none()
    if row is not None:
        inner.revision = row.revision + 1
    return row


def _check_free(transaction: Transaction, kind: kinds.Kind, inner: Inner) -> None:
    table = schema.catalog_item
    of_kind = select(table.c.id).where(table.c.kind == kind.number)
    same_id = of_kind.where(table.c.id == inner.id)
    if transaction.connection.execute(same_id).first() is not None:
        raise AlreadyExists(
            f"a {kind.noun} with id '{inner.id}' exists already: leave the id empty",
            reason="ID_ALREADY_EXISTS",
        )
    _check_name_free(transaction, kind, inner)


def _check_name_free(transaction: Transaction, kind: kinds.Kind, inner: Inner) -> None:
    table = schema.catalog_item
    query = select(table.c.id).where(
        table.c.kind == kind.number,
        table.c.project_id == inner.project_id,
        table.c.name == inner.name,
        table.c.id != inner.id,
    )
    if transaction.connection.execute(query).first() is not None:
        raise AlreadyExists(
            f"a {kind.noun} named '{inner.name}' exists already: choose another name",
            reason="NAME_ALREADY_EXISTS",
        )


def _settle_url(binary: job_pb2.JobBinary) -> None:
    """Give bytes that the conductor keeps their one URL."""
    url = f"{kinds.INTERNAL_URL}{binary.id}"
    if binary.url in ("", kinds.INTERNAL_URL):
        binary.url = url
    if binary.url.startswith(kinds.INTERNAL_URL) and binary.url != url:
        raise InvalidArgument(
            f"the URL of job binary {binary.id} must be {url}", reason="URL_INVALID"
        )


def _check_used(transaction: Transaction, kind: kinds.Kind, inner: Inner) -> None:
    for used_kind, used_id in sorted(kind.used(inner)):
        check_exists(transaction.connection, inner.project_id, used_kind, used_id)


def check_exists(connection: Connection, project_id: str, kind: int, item_id: str) -> Row[Any]:
    """Read the row of an item that a project may use.

    Raises ``NotFound``.
    """
    table = schema.catalog_item
    row = None
    if ownership.is_storable(item_id):
        query = select(table).where(table.c.kind == kind, table.c.id == item_id)
        query = query.where(ownership.is_visible_to(project_id, table))
        row = connection.execute(query).one_or_none()
    if row is None:
        raise ownership.missing(kinds.of_number(kind).noun, item_id)
    return row


def _take_secret(secrets: Secrets, inner: Inner) -> bytes:
    """Take the credentials out of an item, encrypted."""
    if not isinstance(inner, job_pb2.JobBinary) or not inner.extra:
        return b""
    secret = job_pb2.JobBinary(extra=inner.extra).SerializeToString(deterministic=True)
    inner.ClearField("extra")
    return secrets.encrypt(secret)


def _columns(transaction: Transaction, kind: kinds.Kind, item: Item) -> dict[str, object]:
    inner = kind.inner(item)
    return {
        "kind": kind.number,
        "id": kinds.row_id(kind, inner.project_id, inner.id),
        "project_id": inner.project_id,
        "name": getattr(inner, "name", inner.id),
        "is_public": getattr(inner, "is_public", False),
        "is_protected": getattr(inner, "is_protected", False),
        "plugin_name": getattr(inner, "plugin_name", ""),
        "plugin_version": getattr(inner, "plugin_version", ""),
        "revision": inner.revision,
        "created": transaction.now,
        "body": item.SerializeToString(deterministic=True),
    }


def change(transaction: Transaction, secrets: Secrets, request: messages.UpdateItemRequest) -> Item:
    """Replace the named fields of an item.

    Raises ``NotFound``, ``AlreadyExists``, ``FailedPrecondition`` and ``Aborted``.
    """
    kind = kinds.of_item(request.item)
    news = kind.inner(request.item)
    fields = kind.check_paths(news, request.update_mask)
    row = _own(transaction, kind, request.project_id, news.id)
    ownership.check_unprotected(row, fields, noun=kind.noun)
    ownership.check_revision(row, news.revision, noun=kind.noun)
    _check_unused(transaction, kind, row, fields)
    item = Item.FromString(row.body)
    inner = kind.inner(item)
    url = getattr(inner, "url", "")
    request.update_mask.MergeMessage(news, inner, True, True)
    _check_texts(inner)
    if url.startswith(kinds.INTERNAL_URL) and inner.url != url:
        raise FailedPrecondition(
            f"{kind.noun} '{row.name}' keeps its bytes here: its URL can not be changed",
            reason="URL_IMMUTABLE",
        )
    if "name" in fields:
        _check_name_free(transaction, kind, inner)
    columns: dict[str, object] = {}
    if "extra" in fields:
        columns["secret"] = _take_secret(secrets, inner)
    _check_used(transaction, kind, inner)
    inner.revision = row.revision + 1
    if kind is not kinds.IMAGE:
        inner.update_time.FromMicroseconds(transaction.now)
    _store(transaction, kind, item, **columns)
    references.note_again(transaction, (kind.number, inner.id), kind.used(inner))
    return item


def _check_unused(
    transaction: Transaction, kind: kinds.Kind, row: Row[Any], fields: set[str]
) -> None:
    """Raise ``FailedPrecondition`` while something lives that was made from the item as it is."""
    if kind.specification and not fields & kind.specification:
        return
    users = references.users(transaction, (kind.number, row.id))
    if kind is kinds.NODE_GROUP_TEMPLATE:
        # A cluster also stands for what the template that it was made from was filled in with.
        for each in list(users):
            if each[0] == messages.ITEM_KIND_CLUSTER_TEMPLATE:
                users.extend(references.users(transaction, each))
    living = {each for each in users if each[0] in (references.CLUSTER, references.JOB)}
    if living:
        raise FailedPrecondition(
            f"{kind.noun} '{row.name}' is used by {references.in_words(living)}: "
            "it can be changed once they are gone",
            reason="IN_USE",
        )


def _store(transaction: Transaction, kind: kinds.Kind, item: Item, **columns: object) -> None:
    values = {**_columns(transaction, kind, item), **columns}
    del values["created"]
    table = schema.catalog_item
    transaction.connection.execute(
        update(table)
        .where(table.c.kind == values["kind"], table.c.id == values["id"])
        .values(values)
    )


def remove(transaction: Transaction, name: messages.ItemName) -> None:
    """Remove an item, with its bytes.

    Raises ``NotFound`` and ``FailedPrecondition``.
    """
    kind = kinds.of_number(name.kind)
    row = _own(transaction, kind, name.project_id, name.id)
    ownership.check_unprotected(row, (), noun=kind.noun)
    if users := references.users(transaction, (kind.number, row.id)):
        raise FailedPrecondition(
            f"{kind.noun} '{row.name}' is used by {references.in_words(users)}: remove those first",
            reason="IN_USE",
        )
    table = schema.catalog_item
    transaction.connection.execute(
        delete(table).where(table.c.kind == kind.number, table.c.id == row.id)
    )
    references.forget(transaction, (kind.number, row.id))
    if kind is kinds.JOB_BINARY:
        transaction.connection.execute(delete(schema.blob).where(schema.blob.c.owner_id == row.id))


def _own(transaction: Transaction, kind: kinds.Kind, project_id: str, item_id: str) -> Row[Any]:
    return own_row(transaction.connection, kind, project_id, item_id)


def own_row(connection: Connection, kind: kinds.Kind, project_id: str, item_id: str) -> Row[Any]:
    """Read the row of an item that belongs to a project.

    Raises ``NotFound``, also for public items of other projects: they are seen, never changed.
    """
    row = None
    if ownership.is_storable(item_id):
        table = schema.catalog_item
        query = select(table).where(
            table.c.kind == kind.number,
            table.c.id == kinds.row_id(kind, project_id, item_id),
            table.c.project_id == project_id,
        )
        row = connection.execute(query).one_or_none()
    if row is None:
        raise ownership.missing(kind.noun, item_id)
    return row
