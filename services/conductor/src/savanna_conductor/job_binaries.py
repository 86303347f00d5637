"""Bytes of job binaries: kept in rows, and theirs from the moment when all are there.

Rows are written in small transactions under a version that nobody knows yet, so that a large upload
holds nobody up; one more transaction makes the version the binary's own. A reader stays with the
version with which it began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from savanna.conductor.v1 import catalog_service_pb2 as messages
from savanna_conductor import catalog, kinds, ownership
from savanna_conductor.store import schema
from savanna_kit.errors import Aborted, FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from savanna.job.v1 import job_pb2
    from savanna_conductor.store.transaction import Transaction

ROW = 256 * 2**10
"""Bytes of a row."""


@dataclass(frozen=True)
class Upload:
    """Bytes that arrived whole: the binary's name, the version that the rows have, and what is
    known of the bytes."""

    name: messages.ItemName
    version: str
    size: int
    sha256: str

    @property
    def rows(self) -> int:
        """Number of rows."""
        return -(-self.size // ROW)


def check_writable(connection: Connection, name: messages.ItemName) -> Row[Any]:
    """Read the row of a job binary whose bytes may be replaced.

    Raises ``InvalidArgument``, ``NotFound`` and ``FailedPrecondition``.
    """
    if name.kind not in (messages.ITEM_KIND_UNSPECIFIED, kinds.JOB_BINARY.number):
        raise InvalidArgument("only job binaries have bytes", reason="KIND_UNKNOWN")
    row = catalog.own_row(connection, kinds.JOB_BINARY, name.project_id, name.id)
    ownership.check_unprotected(row, (), noun=kinds.JOB_BINARY.noun)
    binary = messages.Item.FromString(row.body).job_binary
    if not binary.url.startswith(kinds.INTERNAL_URL):
        raise FailedPrecondition(
            f"the bytes of job binary '{binary.name}' are at {binary.url}: put them there",
            reason="URL_NOT_INTERNAL",
        )
    return row


def keep(transaction: Transaction, upload: Upload, first: int, pieces: Sequence[bytes]) -> None:
    """Write rows of an upload, from a number on."""
    rows = [
        {"owner_id": upload.name.id, "version": upload.version, "number": number, "data": data}
        for number, data in enumerate(pieces, start=first)
    ]
    transaction.connection.execute(insert(schema.blob), rows)


def finish(transaction: Transaction, upload: Upload) -> job_pb2.JobBinary:
    """Make an upload the bytes of its job binary, in place of earlier ones.

    Raises what ``check_writable`` does, and ``Aborted`` if another upload was faster.
    """
    row = check_writable(transaction.connection, upload.name)
    table = schema.blob
    mine = (table.c.owner_id == upload.name.id) & (table.c.version == upload.version)
    query = select(func.count()).select_from(table).where(mine)
    if transaction.connection.execute(query).scalar_one() != upload.rows:
        raise Aborted(
            f"other bytes were uploaded for job binary '{row.name}' at the same time: "
            "upload again if these are the ones",
            reason="UPLOAD_RACED",
        )
    transaction.connection.execute(
        delete(table).where(table.c.owner_id == upload.name.id, table.c.version != upload.version)
    )
    item = messages.Item.FromString(row.body)
    binary = item.job_binary
    binary.size, binary.sha256 = upload.size, upload.sha256
    binary.revision = row.revision + 1
    binary.update_time.FromMicroseconds(transaction.now)
    items = schema.catalog_item
    transaction.connection.execute(
        update(items)
        .where(items.c.kind == kinds.JOB_BINARY.number, items.c.id == binary.id)
        .values(
            blob_version=upload.version,
            revision=binary.revision,
            body=item.SerializeToString(deterministic=True),
        )
    )
    return binary


def discard(transaction: Transaction, upload: Upload) -> None:
    """Remove the rows of an upload that came to nothing."""
    table = schema.blob
    transaction.connection.execute(
        delete(table).where(table.c.owner_id == upload.name.id, table.c.version == upload.version)
    )


def version(connection: Connection, binary_id: str) -> str:
    """Give the version of a job binary's bytes.

    Raises ``NotFound``, and ``FailedPrecondition`` while there are none.
    """
    row = None
    if ownership.is_storable(binary_id):
        table = schema.catalog_item
        query = select(table.c.name, table.c.blob_version).where(
            table.c.kind == kinds.JOB_BINARY.number, table.c.id == binary_id
        )
        row = connection.execute(query).one_or_none()
    if row is None:
        raise ownership.missing(kinds.JOB_BINARY.noun, binary_id)
    if not row.blob_version:
        raise FailedPrecondition(
            f"job binary '{row.name}' has no bytes: upload them first", reason="JOB_BINARY_EMPTY"
        )
    found: str = row.blob_version
    return found


def piece(connection: Connection, binary_id: str, version: str, number: int) -> bytes | None:
    """Read a row of a version; None after the last.

    Raises ``Aborted`` when the version was replaced.
    """
    table = schema.blob
    query = select(table.c.data).where(
        table.c.owner_id == binary_id, table.c.version == version, table.c.number == number
    )
    data: bytes | None = connection.execute(query).scalar_one_or_none()
    if data is None:
        _check_current(connection, binary_id, version)
        return None
    return bytes(data)


def _check_current(connection: Connection, binary_id: str, known: str) -> None:
    table = schema.catalog_item
    query = select(table.c.blob_version).where(
        table.c.kind == kinds.JOB_BINARY.number, table.c.id == binary_id
    )
    if connection.execute(query).scalar_one_or_none() != known:
        raise Aborted(
            f"job binary {binary_id} was replaced while it was read: read it again",
            reason="JOB_BINARY_REPLACED",
        )
