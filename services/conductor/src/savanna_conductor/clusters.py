"""Clusters: every change is stored together with the operation that will carry it out."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from savanna.cluster.v1 import cluster_pb2
from savanna.conductor.v1 import catalog_service_pb2 as catalog_pb2
from savanna.conductor.v1 import cluster_service_pb2 as messages
from savanna.operation.v1 import operation_pb2
from savanna_conductor import (
    catalog,
    keys,
    operations,
    ownership,
    queries,
    references,
    requests,
    telling,
)
from savanna_conductor.store import schema
from savanna_kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Row

    from savanna_conductor.store.transaction import Transaction

Cluster = cluster_pb2.Cluster
Operation = operation_pb2.Operation
NOUN = "cluster"
UPDATABLE = ("name", "description", "is_public", "is_protected")


def create(
    transaction: Transaction, secrets: keys.Secrets, request: messages.CreateClusterRequest
) -> messages.CreateClusterResponse:
    """Store a cluster and its launch; gives both.

    The same request gives the same cluster.
    """
    project_id, request_id = request.project_id, request.request_id
    known_only = request.known_only
    made = requests.find(
        transaction, "CreateCluster", project_id, request_id, known_only=known_only
    )
    if made is not None:
        connection = transaction.connection
        return messages.CreateClusterResponse(
            cluster=queries.cluster(connection, project_id, made),
            operation=queries.launch(connection, made),
        )
    _check_templates(transaction, project_id, request.cluster)
    cluster, private_key = _new_cluster(transaction, project_id, request.cluster)
    operation = operations.create(
        transaction,
        Operation(
            project_id=project_id,
            cluster_id=cluster.id,
            cluster_name=cluster.name,
            goal=Operation.GOAL_LAUNCH,
            on_failure=request.on_failure,
        ),
        is_first=True,
    )
    cluster.operation_id = operation.id
    _insert(transaction, cluster, secrets.encrypt(private_key.encode()))
    references.note(transaction, (references.CLUSTER, cluster.id), _templates(cluster))
    requests.remember(transaction, "CreateCluster", project_id, request_id, cluster.id)
    telling.cluster_changed(transaction, operation, Cluster.STATE_VALIDATING)
    operation.tasks.total = 1
    return messages.CreateClusterResponse(cluster=cluster, operation=operation)


def _new_cluster(transaction: Transaction, project_id: str, wanted: Cluster) -> tuple[Cluster, str]:
    """Give a cluster as it begins, and its private key."""
    cluster = Cluster()
    cluster.CopyFrom(wanted)
    cluster.id = str(uuid.uuid4())
    cluster.project_id = project_id
    cluster.state = Cluster.STATE_VALIDATING
    cluster.revision = 1
    cluster.create_time.FromMicroseconds(transaction.now)
    private_key, cluster.management_public_key = keys.make_key_pair()
    for group in cluster.node_groups:
        group.id = str(uuid.uuid4())
        group.create_time.FromMicroseconds(transaction.now)
        del group.instances[:]
    return cluster, private_key


def _templates(cluster: Cluster) -> set[references.Thing]:
    """Say which templates a cluster was made from: they stay as long as it does."""
    return {(catalog_pb2.ITEM_KIND_CLUSTER_TEMPLATE, cluster.cluster_template_id)} | {
        (catalog_pb2.ITEM_KIND_NODE_GROUP_TEMPLATE, group.node_group_template_id)
        for group in cluster.node_groups
    }


def _check_templates(transaction: Transaction, project_id: str, cluster: Cluster) -> None:
    for kind, template_id in sorted(_templates(cluster)):
        if template_id:
            catalog.check_exists(transaction.connection, project_id, kind, template_id)


def _insert(transaction: Transaction, cluster: Cluster, private_key: bytes) -> None:
    # What waits is written first: its failure would be another one.
    connection = transaction.connection
    try:
        connection.execute(
            insert(schema.cluster).values(
                id=cluster.id,
                project_id=cluster.project_id,
                name=cluster.name,
                is_public=cluster.is_public,
                is_protected=cluster.is_protected,
                plugin_name=cluster.plugin_name,
                plugin_version=cluster.plugin_version,
                state=cluster.state,
                status_description="",
                info=b"",
                operation_id=cluster.operation_id,
                revision=cluster.revision,
                created=transaction.now,
                updated=0,
                private_key=private_key,
                body=_body(cluster),
            )
        )
    except IntegrityError as error:
        raise AlreadyExists(
            f"a cluster named '{cluster.name}' exists already: choose another name",
            reason="NAME_ALREADY_EXISTS",
        ) from error


def _body(cluster: Cluster) -> bytes:
    """Serialise what the columns and the instances' own rows do not hold."""
    body = Cluster()
    body.CopyFrom(cluster)
    for name in ("state", "status_description", "info", "operation_id", "revision", "update_time"):
        body.ClearField(name)
    for group in body.node_groups:
        del group.instances[:]
    return body.SerializeToString(deterministic=True)


def scale(transaction: Transaction, request: messages.ScaleClusterRequest) -> str:
    """Store new counts and the scale; gives the operation's id.

    The old counts go along for a way back.
    """
    project_id, cluster_id = request.name.project_id, request.name.id
    made = requests.find(
        transaction,
        "ScaleCluster",
        project_id,
        request.request_id,
        known_only=request.known_only,
    )
    if made is not None:
        if queries.operation(transaction.connection, made).cluster_id != cluster_id:
            raise requests.used_for_another("cluster")
        return made
    row = _own(transaction, project_id, cluster_id)
    if row.state != Cluster.STATE_ACTIVE or row.operation_id:
        raise FailedPrecondition(
            f"cluster '{row.name}' is not active, or is being changed: wait until what is under "
            "way has ended",
            reason="CLUSTER_NOT_ACTIVE",
        )
    ownership.check_revision(row, request.revision, noun=NOUN)
    cluster = Cluster.FromString(row.body)
    wish = cluster_pb2.Wish(
        counts_before={each.name: each.count for each in cluster.node_groups},
        counts_after={each.name: each.count for each in request.node_groups},
    )
    _resize(transaction, cluster, request.node_groups)
    _check_templates(transaction, project_id, cluster)
    references.note_again(transaction, (references.CLUSTER, cluster_id), _templates(cluster))
    operation = operations.create(
        transaction,
        Operation(
            project_id=project_id,
            cluster_id=cluster_id,
            cluster_name=cluster.name,
            goal=Operation.GOAL_SCALE,
            on_failure=request.on_failure,
            detail=wish.SerializeToString(deterministic=True),
        ),
    )
    _change(
        transaction,
        cluster_id,
        state=Cluster.STATE_SCALING,
        status_description="",
        operation_id=operation.id,
        revision=row.revision + 1,
        body=_body(cluster),
    )
    requests.remember(transaction, "ScaleCluster", project_id, request.request_id, operation.id)
    telling.cluster_changed(transaction, operation, Cluster.STATE_SCALING)
    return operation.id


def _resize(
    transaction: Transaction, cluster: Cluster, groups: Sequence[cluster_pb2.NodeGroup]
) -> None:
    known = {group.name: group for group in cluster.node_groups}
    for wanted in groups:
        group = known.get(wanted.name)
        if group is None:
            group = cluster.node_groups.add()
            group.CopyFrom(wanted)
            del group.instances[:]
            group.id = str(uuid.uuid4())
            group.create_time.FromMicroseconds(transaction.now)
        else:
            group.count = wanted.count
            group.leaving[:] = wanted.leaving
            group.update_time.FromMicroseconds(transaction.now)


def remove(transaction: Transaction, *, project_id: str, cluster_id: str, force: bool) -> str:
    """Store the delete of a cluster; gives the operation's id.

    Everything under way is asked to end first.
    """
    row = _own(transaction, project_id, cluster_id)
    ownership.check_unprotected(row, (), noun=NOUN)
    under_way = operations.open_operations(transaction, cluster_id)
    for operation in under_way:
        if operation.goal == Operation.GOAL_DELETE:
            return operation.id
    detail = cluster_pb2.Wish(force=force).SerializeToString()
    return operations.begin_delete(transaction, row, detail=detail).id


def change(
    transaction: Transaction, *, project_id: str, news: Cluster, fields: Sequence[str]
) -> str:
    """Replace fields of a cluster; gives its id."""
    row = _own(transaction, project_id, news.id)
    unknown = [each for each in fields if each not in UPDATABLE]
    if unknown:
        raise InvalidArgument(
            f"'{unknown[0]}' can not be changed; {', '.join(UPDATABLE)} can",
            reason="FIELD_IMMUTABLE",
        )
    ownership.check_unprotected(row, fields, noun=NOUN)
    ownership.check_revision(row, news.revision, noun=NOUN)
    cluster = Cluster.FromString(row.body)
    columns: dict[str, object] = {}
    for each in fields:
        value = getattr(news, each)
        setattr(cluster, each, value)
        if each != "description":
            columns[each] = value
    try:
        _change(transaction, news.id, revision=row.revision + 1, body=_body(cluster), **columns)
    except IntegrityError as error:
        raise AlreadyExists(
            f"a cluster named '{news.name}' exists already: choose another name",
            reason="NAME_ALREADY_EXISTS",
        ) from error
    return news.id


def _own(transaction: Transaction, project_id: str, cluster_id: str) -> Row[Any]:
    return ownership.own_row(
        transaction.connection, schema.cluster, project_id, cluster_id, noun=NOUN
    )


def _change(transaction: Transaction, cluster_id: str, **columns: object) -> None:
    transaction.connection.execute(
        update(schema.cluster)
        .where(schema.cluster.c.id == cluster_id)
        .values(updated=transaction.now, **columns)
    )
