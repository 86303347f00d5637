"""Every cloud keeps the promises of ``savanna_engine.cloud.base``: one suite, all drivers."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from savanna_engine.cloud.base import ClusterOrder, ServerOrder, ServerStatus
from savanna_engine.cloud.errors import CloudRefused, QuotaExceeded
from savanna_engine.cloud.local.hosts import namespaces_allowed
from savanna_engine.steps.servers import make_host_key
from tests.conformance import cloud_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from savanna_engine.cloud.base import Cloud, Server
    from tests.conformance.cloud_stages import Stage

STAGES = [cloud_stages.simulated, cloud_stages.on_loopback]
if namespaces_allowed():
    STAGES.append(cloud_stages.in_namespaces)


@pytest.fixture(params=STAGES, ids=[each.__name__ for each in STAGES])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    with request.param(tmp_path) as stage:
        yield stage


@pytest.fixture
def cloud(stage: Stage) -> Cloud:
    return stage.cloud


def order_for(cloud: Cloud, name: str = "c1-worker-1", cluster_id: str = "") -> ServerOrder:
    """Give an order for the smallest server that the cloud offers."""
    catalog = cloud.catalog("default")
    host_key, host_public_key = make_host_key()
    _, authorized_key = make_host_key()
    return ServerOrder(
        cluster_id=cluster_id or str(uuid.uuid4()),
        cluster_name="c1",
        project_id="default",
        instance_id=str(uuid.uuid4()),
        name=name,
        node_group="worker",
        flavor_id=min(catalog.flavors, key=lambda each: each.ram).id,
        image_id=catalog.images[0].id,
        network_id=catalog.networks[0].id,
        authorized_key=authorized_key,
        username=catalog.images[0].username,
        host_key=host_key,
        host_public_key=host_public_key,
        deployment_id=str(uuid.uuid4()),
    )


def another(order: ServerOrder, name: str) -> ServerOrder:
    """Give an order for one more server of the same cluster."""
    host_key, host_public_key = make_host_key()
    return replace(
        order,
        instance_id=str(uuid.uuid4()),
        name=name,
        host_key=host_key,
        host_public_key=host_public_key,
    )


def settled(cloud: Cloud, instance_id: str) -> Server:
    """Wait until a server is no longer building."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        (server,) = cloud.find_servers(instance_id=instance_id)
        if server.status is not ServerStatus.BUILDING:
            return server
        time.sleep(0.02)
    raise AssertionError(f"{instance_id} is still building")


def deleted(cloud: Cloud, instance_id: str) -> bool:
    """Remove a server, asking as often as the cloud wishes."""
    return eventually(lambda: cloud.delete_server(instance_id))


def eventually(done: Callable[[], bool]) -> bool:
    """Ask until it is done."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.02)
    return False


def ids(servers: Sequence[Server]) -> set[str]:
    return {each.instance_id for each in servers}


def test_a_new_server_comes_to_run_with_an_address_and_its_own_host_key(cloud: Cloud) -> None:
    order = order_for(cloud)
    made = cloud.create_server(order)
    assert (made.instance_id, made.cluster_id) == (order.instance_id, order.cluster_id)
    server = settled(cloud, order.instance_id)
    assert server.status is ServerStatus.RUNNING
    assert (server.name, server.provider_id) == (order.name, made.provider_id)
    assert server.internal_ip
    assert server.management_ip
    assert server.ssh_user == order.username
    assert server.host_public_key == order.host_public_key


def test_a_server_is_found_by_its_instance_and_by_its_cluster_and_among_all(cloud: Cloud) -> None:
    first = order_for(cloud)
    second = another(first, "c1-worker-2")
    for each in (first, second):
        cloud.create_server(each)
    both = {first.instance_id, second.instance_id}
    assert ids(cloud.find_servers(instance_id=first.instance_id)) == {first.instance_id}
    assert ids(cloud.find_servers(cluster_id=first.cluster_id)) == both
    assert ids(cloud.find_servers()) == both
    by_both = cloud.find_servers(instance_id=first.instance_id, cluster_id=first.cluster_id)
    assert ids(by_both) == {first.instance_id}
    assert cloud.find_servers(instance_id=first.instance_id, cluster_id=str(uuid.uuid4())) == []


def test_what_was_never_made_is_not_found(cloud: Cloud) -> None:
    assert list(cloud.find_servers(instance_id=str(uuid.uuid4()))) == []
    assert list(cloud.find_servers(cluster_id=str(uuid.uuid4()))) == []
    for each in (str(uuid.uuid4()), "", "..", "a/b", "\0", "x" * 300):
        assert cloud.get_server(each) is None


def test_a_server_is_read_by_the_id_that_the_cloud_gave_it(cloud: Cloud) -> None:
    made = cloud.create_server(order_for(cloud))
    read = cloud.get_server(made.provider_id)
    assert read is not None
    assert read.instance_id == made.instance_id


def test_making_a_server_twice_makes_one_and_the_first_host_key_counts(cloud: Cloud) -> None:
    first = order_for(cloud)
    host_key, host_public_key = make_host_key()
    made = cloud.create_server(first)
    second = replace(first, host_key=host_key, host_public_key=host_public_key)
    adopted = cloud.create_server(second)
    assert adopted.provider_id == made.provider_id
    assert adopted.host_public_key == first.host_public_key
    (found,) = cloud.find_servers(instance_id=first.instance_id)
    assert found.host_public_key == first.host_public_key


def test_many_who_make_the_same_server_at_once_make_one(cloud: Cloud) -> None:
    order = order_for(cloud)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: cloud.create_server(order), range(4)))
    (found,) = cloud.find_servers(instance_id=order.instance_id)
    assert {each.provider_id for each in made} == {found.provider_id}


def test_many_who_make_different_servers_at_once_make_them_all(cloud: Cloud) -> None:
    first = order_for(cloud)
    orders = [first, *(another(first, f"c1-worker-{number}") for number in range(2, 5))]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(cloud.create_server, orders))
    servers = [settled(cloud, each.instance_id) for each in orders]
    assert [each.status for each in servers] == [ServerStatus.RUNNING] * 4
    assert [each.name for each in servers] == [each.name for each in orders]
    assert len({each.management_ip for each in servers}) == 4


def test_a_server_tells_whose_it_is_and_since_when(cloud: Cloud) -> None:
    order = order_for(cloud)
    # Clouds tell time in seconds.
    before = datetime.now(UTC) - timedelta(seconds=1)
    cloud.create_server(order)
    (server,) = cloud.find_servers()
    marks = (server.deployment_id, server.project_id)
    assert marks == (order.deployment_id, order.project_id)
    assert server.made_at is not None
    assert before <= server.made_at <= datetime.now(UTC)


def test_a_server_whose_making_was_cut_off_tells_whose_it_is_too(stage: Stage) -> None:
    order = order_for(stage.cloud)
    stage.break_create(order)
    (server,) = stage.cloud.find_servers(cluster_id=order.cluster_id)
    assert (server.instance_id, server.deployment_id) == (order.instance_id, order.deployment_id)
    assert server.made_at is not None
    assert abs(datetime.now(UTC) - server.made_at) < timedelta(seconds=10)


def test_a_server_whose_making_was_cut_off_is_there_once_after_the_second_try(
    stage: Stage,
) -> None:
    cloud = stage.cloud
    order = order_for(cloud)
    stage.break_create(order)
    made = cloud.create_server(order)
    assert settled(cloud, order.instance_id).status is ServerStatus.RUNNING
    assert [each.provider_id for each in cloud.find_servers()] == [made.provider_id]


def test_a_server_whose_making_was_cut_off_can_be_removed_without_a_second_try(
    stage: Stage,
) -> None:
    order = order_for(stage.cloud)
    stage.break_create(order)
    assert deleted(stage.cloud, order.instance_id)
    assert list(stage.cloud.find_servers()) == []


def test_a_removed_server_is_gone_however_one_looks_for_it(cloud: Cloud) -> None:
    order = order_for(cloud)
    made = cloud.create_server(order)
    assert deleted(cloud, order.instance_id)
    assert list(cloud.find_servers(instance_id=order.instance_id)) == []
    assert list(cloud.find_servers(cluster_id=order.cluster_id)) == []
    assert list(cloud.find_servers()) == []
    assert cloud.get_server(made.provider_id) is None


def test_removing_can_be_repeated_and_removing_what_never_was_succeeds(cloud: Cloud) -> None:
    order = order_for(cloud)
    assert deleted(cloud, str(uuid.uuid4()))
    cloud.create_server(order)
    assert deleted(cloud, order.instance_id)
    assert deleted(cloud, order.instance_id)


def test_removing_nobody_removes_nobody(cloud: Cloud) -> None:
    order = order_for(cloud)
    cloud.create_server(order)
    assert cloud.delete_server("")
    assert settled(cloud, order.instance_id).status is ServerStatus.RUNNING


def test_one_server_is_removed_by_the_id_that_the_cloud_gave_it(cloud: Cloud) -> None:
    order = order_for(cloud)
    made, other = cloud.create_server(order), cloud.create_server(another(order, "c1-worker-2"))
    for _ in range(2):
        assert eventually(lambda: cloud.delete_copy(made.provider_id))
        assert ids(cloud.find_servers()) == {other.instance_id}
    assert cloud.delete_copy("")
    assert settled(cloud, other.instance_id).status is ServerStatus.RUNNING


def test_makers_and_removers_of_one_server_at_once_leave_it_whole_or_gone(cloud: Cloud) -> None:
    order = order_for(cloud)
    verbs = [lambda: cloud.create_server(order), lambda: cloud.delete_server(order.instance_id)]
    with ThreadPoolExecutor(max_workers=6) as threads:
        for each in [threads.submit(verbs[turn % 2]) for turn in range(12)]:
            each.result()
    assert deleted(cloud, order.instance_id)
    assert list(cloud.find_servers()) == []
    cloud.create_server(order)
    assert settled(cloud, order.instance_id).status is ServerStatus.RUNNING


def test_a_removed_server_can_be_made_again(cloud: Cloud) -> None:
    order = order_for(cloud)
    cloud.create_server(order)
    assert deleted(cloud, order.instance_id)
    cloud.create_server(order)
    assert settled(cloud, order.instance_id).status is ServerStatus.RUNNING


def test_clusters_side_by_side_do_not_touch_each_other(cloud: Cloud) -> None:
    one, other = order_for(cloud), order_for(cloud)
    for each in (one, other):
        prepare(cloud, each)
        cloud.create_server(each)
    assert deleted(cloud, one.instance_id)
    cloud.remove_cluster(one.cluster_id)
    assert settled(cloud, other.instance_id).status is ServerStatus.RUNNING
    assert ids(cloud.find_servers()) == {other.instance_id}


def test_what_a_cluster_shares_can_be_made_and_removed_repeatedly(cloud: Cloud) -> None:
    order = order_for(cloud)
    for _ in range(2):
        prepare(cloud, order)
    for _ in range(2):
        cloud.remove_cluster(order.cluster_id)
    cloud.remove_cluster(str(uuid.uuid4()))


def prepare(cloud: Cloud, order: ServerOrder) -> None:
    cloud.prepare_cluster(
        ClusterOrder(
            cluster_id=order.cluster_id,
            cluster_name=order.cluster_name,
            project_id=order.project_id,
            public_key=order.authorized_key,
            ports=(8080,),
        )
    )


@pytest.mark.parametrize("kind", ["flavor", "image"])
def test_what_is_not_offered_is_refused_in_a_sentence_and_nothing_is_made(
    cloud: Cloud, kind: str
) -> None:
    order = order_for(cloud)
    wrong = {
        "flavor": replace(order, flavor_id="no-such-thing"),
        "image": replace(order, image_id="no-such-thing"),
    }
    with pytest.raises(CloudRefused, match=f"{kind} 'no-such-thing' does not exist"):
        cloud.create_server(wrong[kind])
    assert list(cloud.find_servers(cluster_id=order.cluster_id)) == []
    assert list(cloud.find_servers(instance_id=order.instance_id)) == []
    assert list(cloud.find_servers()) == []
    assert deleted(cloud, order.instance_id)
    assert list(cloud.find_servers()) == []


def test_a_full_cloud_says_so_and_has_room_again_after_a_removal(cloud: Cloud) -> None:
    largest = max(cloud.catalog("default").flavors, key=lambda each: each.ram)
    first = replace(order_for(cloud), flavor_id=largest.id)
    cloud.create_server(first)
    refused = fill(cloud, first)
    assert list(cloud.find_servers(instance_id=refused.instance_id)) == []
    assert cloud.create_server(first).instance_id == first.instance_id
    assert deleted(cloud, first.instance_id)
    assert cloud.create_server(refused).instance_id == refused.instance_id


def fill(cloud: Cloud, first: ServerOrder) -> ServerOrder:
    """Make servers until one is refused; gives the order that was."""
    orders = (another(first, f"c1-worker-{number}") for number in range(2, 200))
    for order in orders:
        try:
            cloud.create_server(order)
        except QuotaExceeded:
            return order
    raise AssertionError("there was room for 200 of the largest servers")


def test_many_who_fill_a_local_cloud_at_once_are_promised_no_more_than_there_is(
    tmp_path: Path,
) -> None:
    with cloud_stages.on_loopback(tmp_path, memory=3 * 64) as stage:
        first = order_for(stage.cloud)
        orders = [first, *(another(first, f"c1-worker-{number}") for number in range(2, 17))]
        with ThreadPoolExecutor(len(orders)) as threads:
            tries = [threads.submit(stage.cloud.create_server, each) for each in orders]
            failures = [each.exception() for each in tries]
        assert failures.count(None) == 3
        assert {type(each) for each in failures} == {type(None), QuotaExceeded}
        assert len(stage.cloud.find_servers()) == 3
        quota = next(e for e in stage.cloud.catalog("default").quotas if e.name == "ram")
        assert (quota.used, quota.limit) == (3 * 64, 3 * 64)


def test_the_catalog_offers_what_orders_name(cloud: Cloud) -> None:
    catalog = cloud.catalog("default")
    assert catalog.cloud == cloud.name
    assert len(catalog.networks) == 1
    assert {"fake", "0.1"} <= set(catalog.images[0].tags)
    for kind in (catalog.flavors, catalog.images, catalog.networks):
        assert len({each.id for each in kind}) == len(kind) > 0
        assert all(each.id and each.name for each in kind)
    assert all(each.username and each.status == "ACTIVE" for each in catalog.images)
    assert all(each.vcpus > 0 and each.ram > 0 and each.disk > 0 for each in catalog.flavors)


def test_the_catalog_counts_the_servers_that_there_are(cloud: Cloud) -> None:
    def used() -> int:
        return next(each.used for each in cloud.catalog("p").quotas if each.name == "instances")

    order = order_for(cloud)
    assert used() == 0
    cloud.create_server(order)
    assert used() == 1
    deleted(cloud, order.instance_id)
    assert used() == 0
