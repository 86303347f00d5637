"""Entries of the journal on their way into it: numbered, and put together in rows.

Serialised messages that follow each other are read as one. So what all entries about a task have in
common is serialised once and kept, and what an entry adds is written behind it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from savanna.operation.v1.operation_pb2 import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ENTRIES_OF_A_ROW = 200


class Subject(NamedTuple):
    """What an entry is about; ``data`` is the serialised part of it that says so."""

    project_id: str
    cluster_id: str
    operation_id: str
    data: bytes


class Told(NamedTuple):
    """An entry without number and time: what it is about, and what happened."""

    subject: Subject
    entry: JournalEntry


def whole(entry: JournalEntry) -> Told:
    """Take an entry that says itself what it is about."""
    return Told(Subject(entry.project_id, entry.cluster_id, entry.operation_id, b""), entry)


def columns(told: Iterable[Told], head: int, now: int) -> dict[str, list[object]]:
    """Number entries after ``head`` and give the rows of the journal, by column.

    A row's number is that of its last entry; its body is a serialised ``WatchJournalResponse``.
    """
    time = Timestamp()
    time.FromMicroseconds(now)
    stamp = JournalEntry(time=time).SerializeToString()
    rows: dict[str, list[object]] = {
        name: [] for name in ("sequence", "project_id", "cluster_id", "operation_id", "body")
    }
    number = head
    for mine in _by_operation(told):
        body = bytearray()
        for subject, entry in mine:
            number += 1
            entry.sequence = number
            data = stamp + subject.data + entry.SerializeToString()
            body += _begin(len(data)) + data
        values = (number, *mine[0].subject[:3], bytes(body))
        for column, value in zip(rows.values(), values, strict=True):
            column.append(value)
    return rows


def _by_operation(told: Iterable[Told]) -> Iterator[list[Told]]:
    """Put what one transaction tells of one operation together, in rows of bounded size.

    What it tells of others at the same moment comes before or after.
    """
    by_operation: dict[tuple[str, str], list[Told]] = {}
    for each in told:
        subject = each.subject
        by_operation.setdefault((subject.cluster_id, subject.operation_id), []).append(each)
    for mine in by_operation.values():
        for start in range(0, len(mine), _ENTRIES_OF_A_ROW):
            yield mine[start : start + _ENTRIES_OF_A_ROW]


@lru_cache
def _begin(length: int) -> bytes:
    """Write what comes before an entry in its row: field 1, bytes, so many of them."""
    data = bytearray(b"\x0a")
    while length > 0x7F:
        data.append(length & 0x7F | 0x80)
        length >>= 7
    data.append(length)
    return bytes(data)
