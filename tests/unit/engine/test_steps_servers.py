from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Facts, Instance
from savanna.engine.v1.step_pb2 import StepBody
from savanna_engine.cloud.base import ServerStatus
from savanna_engine.cloud.errors import CloudUnavailable, QuotaExceeded
from savanna_engine.remote.errors import HostKeyMismatch

if TYPE_CHECKING:
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream
    from tests.unit.engine.conftest import Engine

ID = "id-of-worker-0"
NAME = "c1-worker-0"


def create() -> StepBody:
    body = StepBody(cluster_id="c1", project_id="p1", reaches=Instance.STATE_CREATED)
    body.create_server.instance.CopyFrom(Instance(id=ID, name=NAME))
    body.create_server.node_group.name = "worker"
    body.create_server.node_group.spec.flavor_id = "small"
    body.create_server.node_group.spec.image_id = "image-1"
    body.create_server.public_key = "ssh-ed25519 USER"
    return body


def wait() -> StepBody:
    body = StepBody(cluster_id="c1", reaches=Instance.STATE_REACHABLE)
    body.await_server.instance_id = ID
    body.await_server.instance_name = NAME
    return body


def delete() -> StepBody:
    body = StepBody(cluster_id="c1", reaches=Instance.STATE_DELETED)
    body.delete_server.instance_id = ID
    body.delete_server.instance_name = NAME
    return body


def learnt(result: stream.Result) -> Instance:
    return Facts.FromString(result.succeeded.facts).instances[0]


async def test_a_server_is_made_with_a_host_key_that_is_known_before_the_first_login(
    engine: Engine,
) -> None:
    instance = learnt(await engine.do(create()))

    order = engine.cloud.orders[0]
    assert (order.flavor_id, order.image_id, order.authorized_key) == (
        "small",
        "image-1",
        "ssh-ed25519 USER",
    )
    assert "OPENSSH PRIVATE KEY" in order.host_key
    assert instance.host_key == order.host_public_key
    assert (instance.name, instance.state) == (NAME, Instance.STATE_CREATED)
    assert (instance.provider_id, instance.internal_ip) == ("server-1", "10.0.0.1")


async def test_a_server_that_an_earlier_try_made_is_adopted_with_its_own_host_key(
    engine: Engine,
) -> None:
    first = learnt(await engine.do(create()))

    second = learnt(await engine.do(create(), epoch=2))

    assert second == first
    assert len(engine.cloud.servers) == 1


async def test_a_refusal_of_the_cloud_is_final_and_an_outage_is_not(engine: Engine) -> None:
    engine.cloud.error = QuotaExceeded("no more than 3 servers")
    refused = await engine.do(create())
    engine.cloud.error = CloudUnavailable("no reply")
    silent = await engine.do(create())

    assert (refused.failed.reason, refused.failed.retryable) == ("QUOTA_EXCEEDED", False)
    assert refused.failed.message == "no more than 3 servers"
    assert (silent.failed.reason, silent.failed.retryable) == ("CLOUD_UNAVAILABLE", True)


async def test_a_cancelled_creation_is_answered_only_when_the_cloud_has_answered(
    engine: Engine,
) -> None:
    engine.cloud.may_answer.clear()
    attempt = asyncio.create_task(engine.do(create()))
    await asyncio.to_thread(engine.cloud.asked.wait, 2)

    attempt.cancel()
    await asyncio.sleep(0.05)
    assert not attempt.done()

    engine.cloud.may_answer.set()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    assert ID in engine.cloud.servers


async def test_a_creation_that_is_cancelled_while_it_waits_for_a_thread_never_begins(
    engine: Engine,
) -> None:
    engine.cloud.may_answer.clear()
    busy = [asyncio.create_task(engine.do(wait())) for _ in range(2)]
    await asyncio.to_thread(engine.cloud.asked.wait, 2)
    attempt = asyncio.create_task(engine.do(create()))
    await asyncio.sleep(0.02)

    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    engine.cloud.may_answer.set()
    await asyncio.gather(*busy)

    assert not engine.cloud.servers


async def test_a_server_is_awaited_until_it_runs_and_answers(engine: Engine) -> None:
    await engine.do(create())
    engine.cloud.change(ID, status=ServerStatus.BUILDING)
    booting = await engine.do(wait())
    engine.cloud.change(ID, status=ServerStatus.RUNNING)
    engine.remote.is_up = False
    silent = await engine.do(wait())
    engine.remote.is_up = True

    there = learnt(await engine.do(wait()))

    assert booting.not_yet.retry_after.ToMilliseconds() == 200
    assert silent.not_yet.retry_after.ToMilliseconds() == 400
    assert there.state == Instance.STATE_REACHABLE
    assert engine.remote.logins[-1] == engine.cloud.orders[0].host_public_key


async def test_a_server_that_the_cloud_gave_up_or_lost_is_a_failure(engine: Engine) -> None:
    await engine.do(create())
    engine.cloud.change(ID, status=ServerStatus.ERROR, fault="no host has room")
    given_up = await engine.do(wait())
    engine.cloud.servers.clear()
    lost = await engine.do(wait())

    assert given_up.failed.reason == "SERVER_FAILED"
    assert "no host has room" in given_up.failed.message
    assert (lost.failed.reason, lost.failed.retryable) == ("SERVER_GONE", False)


async def test_another_host_at_the_address_is_a_failure(engine: Engine) -> None:
    await engine.do(create())
    engine.remote.error = HostKeyMismatch("another key")

    result = await engine.do(wait())

    assert (result.failed.reason, result.failed.retryable) == ("HOST_KEY_MISMATCH", False)


async def test_a_server_is_deleted_when_the_cloud_says_so_and_its_connections_go_too(
    engine: Engine,
) -> None:
    await engine.do(create())
    engine.conductor.know(NAME, 1)
    script = StepBody(cluster_id="c1")
    script.run_script.instance_name = NAME
    await engine.do(script)
    engine.cloud.deletes_needed = 2

    begun = await engine.do(delete())
    gone = await engine.do(delete())

    assert begun.WhichOneof("outcome") == "not_yet"
    assert learnt(gone).state == Instance.STATE_DELETED
    assert engine.remote.forgotten == ["198.51.100.1"]


async def test_what_servers_share_is_made_and_removed(engine: Engine) -> None:
    body = StepBody(cluster_id="c1", project_id="p1")
    body.prepare_cluster.cluster_name = "c1"
    body.prepare_cluster.ports.extend([7077, 8080])
    await engine.do(body)
    assert engine.cloud.prepared["c1"].ports == (7077, 8080)
    removal = StepBody(cluster_id="c1")
    removal.remove_cluster.SetInParent()

    result = await engine.do(removal)

    assert result.WhichOneof("outcome") == "succeeded"
    assert not engine.cloud.prepared
