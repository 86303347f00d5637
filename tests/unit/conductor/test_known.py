"""What the conductor says when the cloud is compared with it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cluster_pb2
from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.conductor.v1.facts_service_pb2 import (
    GetPlanFactsRequest,
    ListInstanceIdsRequest,
    ListInstanceIdsResponse,
)
from tests.unit.conductor.changes import assign, finish
from tests.unit.conductor.conftest import new_owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.conductor.conftest import Conductor


async def known(
    conductor: Conductor, instances: Sequence[str] = (), clusters: Sequence[str] = ()
) -> ListInstanceIdsResponse:
    request = ListInstanceIdsRequest(instance_ids=instances, cluster_ids=clusters)
    return await conductor.facts.ListInstanceIds(request)


async def with_instances(conductor: Conductor, *states: Instance.State.ValueType) -> str:
    """Store a cluster whose plan has taught instances i0, i1 ..., one for each state."""
    created = await conductor.create()
    owner = await new_owner(conductor)
    plan = (await owner.claim()).graphs[0].tasks[0]
    session = await conductor.session()
    taught = [
        Instance(id=f"i{n}", name=f"w{n}", node_group="worker", index=n, state=state)
        for n, state in enumerate(states)
    ]
    await owner.commit(assign(plan, 1, session))
    await owner.commit(finish(plan, 1, session, cluster_pb2.Facts(instances=taught)))
    return created.cluster.id


async def test_instances_are_known_from_their_plan_until_they_are_deleted(
    conductor: Conductor,
) -> None:
    states = (Instance.STATE_PLANNED, Instance.STATE_FAILED, Instance.STATE_DELETED)
    await with_instances(conductor, *states)
    assert list((await known(conductor)).instance_ids) == ["i0", "i1"]
    asked = ["i0", "i2", "never", "\0"]
    assert list((await known(conductor, asked)).instance_ids) == ["i0"]


async def test_clusters_are_known_while_they_are_stored(conductor: Conductor) -> None:
    stored = (await conductor.create()).cluster.id
    answer = await known(conductor, ["never"], [stored, str(uuid.uuid4()), "", "\0"])
    assert (list(answer.instance_ids), list(answer.cluster_ids)) == ([], [stored])


async def test_a_deployment_has_one_id_in_everything_it_says(conductor: Conductor) -> None:
    created = await conductor.create()
    facts = await conductor.facts.GetPlanFacts(
        GetPlanFactsRequest(operation_id=created.operation.id)
    )
    assert str(uuid.UUID(facts.deployment_id)) == (await known(conductor)).deployment_id
