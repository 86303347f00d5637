"""Who uses what: as long as something is used it can not be removed."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete, insert, select

from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna_conductor.store import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from savanna_conductor.store.transaction import Transaction

CLUSTER = 100
"""Kind of clusters, beside the kinds of the catalog."""

JOB = 101
"""Kind of jobs."""

Thing = tuple[int, str]
"""Kind and id."""

_FORGET = delete(schema.reference).where(
    schema.reference.c.from_kind == bindparam("kind"),
    schema.reference.c.from_id == bindparam("id"),
)

_WORDS = {
    catalog_pb2.ITEM_KIND_CLUSTER_TEMPLATE: "cluster template",
    catalog_pb2.ITEM_KIND_JOB_TEMPLATE: "job template",
    CLUSTER: "cluster",
    JOB: "job",
}


def note(transaction: Transaction, user: Thing, used: Iterable[Thing]) -> None:
    """Note all that something new uses; empty ids are nothing."""
    rows = [
        {"from_kind": user[0], "from_id": user[1], "to_kind": kind, "to_id": used_id}
        for kind, used_id in sorted(set(used))
        if used_id
    ]
    if rows:
        transaction.connection.execute(insert(schema.reference), rows)


def note_again(transaction: Transaction, user: Thing, used: Iterable[Thing]) -> None:
    """Note all that something uses from now on, in place of what it used."""
    forget(transaction, user)
    note(transaction, user, used)


def forget(transaction: Transaction, user: Thing) -> None:
    """Forget all that something used: it is gone."""
    transaction.connection.execute(_FORGET, {"kind": user[0], "id": user[1]})


def users(transaction: Transaction, used: Thing) -> list[Thing]:
    """List what uses something."""
    table = schema.reference
    query = select(table.c.from_kind, table.c.from_id)
    rows = transaction.connection.execute(
        query.where(table.c.to_kind == used[0], table.c.to_id == used[1])
    )
    return [(row.from_kind, row.from_id) for row in rows]


def in_words(things: Iterable[Thing]) -> str:
    """Say what uses something: "2 clusters and 1 cluster template"."""
    counts = Counter(_WORDS[kind] for kind, _ in things)
    return " and ".join(
        f"{number} {word}{'s' if number > 1 else ''}" for word, number in sorted(counts.items())
    )
