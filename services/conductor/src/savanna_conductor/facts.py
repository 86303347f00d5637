"""Applying what a task has taught, in the transaction that records the task.

Applying it twice changes nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from sqlalchemy import bindparam, func, insert, select, update

from savanna.cluster.v1 import cluster_pb2
from savanna.job.v1 import job_pb2
from savanna_conductor import jobs, states, telling
from savanna_conductor.store import schema
from savanna_kit.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.operation.v1 import operation_pb2
    from savanna_conductor.store.transaction import Transaction

Instance = cluster_pb2.Instance

# Made once, as they are used for each commit of a launch.
_CLUSTER = select(schema.cluster.c.state, schema.cluster.c.body).where(
    schema.cluster.c.id == bindparam("id")
)
_NAMED = select(schema.instance).where(
    schema.instance.c.cluster_id == bindparam("id"),
    schema.instance.c.name.in_(bindparam("names", expanding=True)),
)
_COUNTS = (
    select(schema.instance.c.state, func.count().label("number"))
    .where(schema.instance.c.cluster_id == bindparam("id"))
    .group_by(schema.instance.c.state)
)


def apply(
    transaction: Transaction, operation: operation_pb2.Operation, taught: Sequence[bytes]
) -> None:
    """Apply the facts of several tasks of one operation, in order; notes in it when its cluster is
    of use from now on.

    Raises ``InvalidArgument`` for what is no fact.
    """
    merged = _merge(taught)
    if merged.instances or merged.staying:
        _apply_instances(transaction, operation, merged)
    _apply_cluster(transaction, operation, merged)
    if merged.serves:
        operation.is_completing = True
    for data in taught:
        job_facts = cluster_pb2.Facts.FromString(data).job
        if job_facts:
            jobs.apply_facts(transaction, operation, job_pb2.JobFacts.FromString(job_facts))


def parse(data: bytes) -> cluster_pb2.Facts:
    """Read facts.

    Raises ``InvalidArgument`` when they can not be read.
    """
    try:
        facts = cluster_pb2.Facts.FromString(data)
        job_pb2.JobFacts.FromString(facts.job)
        return facts
    except DecodeError as error:
        raise InvalidArgument(
            "the facts of a task can not be read", reason="FACTS_UNREADABLE"
        ) from error


def _merge(taught: Sequence[bytes]) -> cluster_pb2.Facts:
    merged = cluster_pb2.Facts()
    for data in taught:
        merged.MergeFrom(parse(data))
    return merged


def _apply_instances(
    transaction: Transaction, operation: operation_pb2.Operation, facts: cluster_pb2.Facts
) -> None:
    news = facts.instances
    names = {*(each.name for each in news), *facts.staying}
    table = schema.instance
    given = {"id": operation.cluster_id, "names": list(names)}
    rows = transaction.connection.execute(_NAMED, given)
    known = {row.name: Instance.FromString(row.body) for row in rows}
    fresh: dict[str, Instance] = {}
    changed: dict[str, Instance] = {}
    for each in news:
        stored = known.get(each.name)
        if stored is None:
            stored = known[each.name] = fresh[each.name] = Instance()
            stored.create_time.FromMicroseconds(transaction.now)
        elif each.name not in fresh:
            changed[each.name] = stored
        if _learn(stored, each):
            stored.update_time.FromMicroseconds(transaction.now)
            telling.instance_changed(transaction, operation, stored)
    for name in facts.staying:
        stored = known.get(name)
        if stored is not None and stored.state == Instance.STATE_LEAVING:
            stored.state = Instance.STATE_READY
            stored.update_time.FromMicroseconds(transaction.now)
            changed[name] = stored
            telling.instance_changed(transaction, operation, stored)
    if fresh:
        transaction.connection.execute(
            insert(table), [_row(operation.cluster_id, each) for each in fresh.values()]
        )
    if changed:
        stored_rows = [_row(operation.cluster_id, each) for each in changed.values()]
        transaction.connection.execute(
            _UPDATE, [{f"new_{name}": row[name] for name in _USED} for row in stored_rows]
        )


_USED = ("cluster_id", "name", "state", "body")
_UPDATE = (
    update(schema.instance)
    .where(
        schema.instance.c.cluster_id == bindparam("new_cluster_id"),
        schema.instance.c.name == bindparam("new_name"),
    )
    .values(state=bindparam("new_state"), body=bindparam("new_body"))
)


def _learn(stored: Instance, news: Instance) -> bool:
    """Merge set fields into what is stored; a state never goes back.

    Says whether the state changed.
    """
    before = stored.state
    stored.MergeFrom(news)
    stored.state = max(before, news.state)
    return stored.state != before


def _row(cluster_id: str, each: Instance) -> dict[str, object]:
    return {
        "cluster_id": cluster_id,
        "name": each.name,
        "instance_id": each.id,
        "node_group": each.node_group,
        "number": each.index,
        "state": each.state,
        "body": each.SerializeToString(),
    }


def _apply_cluster(
    transaction: Transaction, operation: operation_pb2.Operation, facts: cluster_pb2.Facts
) -> None:
    given = {"id": operation.cluster_id}
    row = transaction.connection.execute(_CLUSTER, given).one_or_none()
    if row is None:
        return
    values: dict[str, object] = {}
    if facts.HasField("info"):
        values["info"] = facts.info.SerializeToString(deterministic=True)
    if facts.HasField("status_description"):
        values["status_description"] = facts.status_description
    if facts.node_group_counts:
        cluster = cluster_pb2.Cluster.FromString(row.body)
        for group in cluster.node_groups:
            group.count = facts.node_group_counts.get(group.name, group.count)
        values["body"] = cluster.SerializeToString(deterministic=True)
    if facts.serves and row.state != cluster_pb2.Cluster.STATE_DELETING:
        values["state"] = cluster_pb2.Cluster.STATE_ACTIVE
        message = facts.status_description
        telling.cluster_changed(transaction, operation, cluster_pb2.Cluster.STATE_ACTIVE, message)
    elif facts.instances:
        state = states.advance(operation.goal, row.state, instance_counts(transaction, operation))
        if state != row.state:
            values["state"] = state
            telling.cluster_changed(transaction, operation, state)
    if values:
        values["updated"] = transaction.now
        table = schema.cluster
        transaction.connection.execute(
            update(table).where(table.c.id == operation.cluster_id).values(values)
        )


def instance_counts(
    transaction: Transaction, operation: operation_pb2.Operation
) -> Counter[Instance.State.ValueType]:
    """Count the instances of a cluster by state."""
    rows = transaction.connection.execute(_COUNTS, {"id": operation.cluster_id})
    return Counter({row.state: row.number for row in rows})
