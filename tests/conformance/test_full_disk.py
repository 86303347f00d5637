"""The disk under the local cloud is full: it is said what to do, nothing is left over, and it goes
on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from savanna_engine.cloud.base import ServerStatus
from savanna_engine.cloud.errors import CloudUnavailable
from savanna_engine.cloud.local.hosts import namespaces_allowed
from tests.conformance import cloud_stages
from tests.conformance.test_clouds import another, deleted, ids, order_for, settled
from tests.full_disk import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from savanna_engine.cloud.base import Cloud
    from tests.full_disk import SmallDisk

STAGES: list[Callable[[Path], AbstractContextManager[cloud_stages.Stage]]] = [
    cloud_stages.on_loopback
]
if namespaces_allowed():
    STAGES.append(cloud_stages.in_namespaces)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk


@pytest.fixture(params=STAGES, ids=[each.__name__ for each in STAGES])
def cloud(request: pytest.FixtureRequest, disk: SmallDisk) -> Iterator[Cloud]:
    with request.param(disk.folder) as stage:
        yield stage.cloud


def test_a_full_disk_refuses_a_host_with_what_to_do_and_goes_on_when_there_is_space(
    cloud: Cloud, disk: SmallDisk
) -> None:
    first = order_for(cloud)
    cloud.create_server(first)
    names = disk.folder / "clusters" / first.cluster_id / "hosts"
    before = names.read_text() if names.exists() else ""
    second = another(first, "c1-worker-2")
    disk.fill()

    with pytest.raises(CloudUnavailable, match="is full: make room on it") as refused:
        cloud.create_server(second)

    assert refused.value.retryable
    assert settled(cloud, first.instance_id).status is ServerStatus.RUNNING
    assert not before or names.read_text().startswith(before)

    disk.free()
    cloud.create_server(second)
    assert settled(cloud, second.instance_id).status is ServerStatus.RUNNING


def test_hosts_can_be_removed_from_a_full_disk(cloud: Cloud, disk: SmallDisk) -> None:
    orders = [order_for(cloud)]
    cloud.create_server(orders[0])
    orders.append(another(orders[0], "c1-worker-2"))
    disk.fill()
    with pytest.raises(CloudUnavailable):
        cloud.create_server(orders[1])

    assert all(deleted(cloud, each.instance_id) for each in orders)

    assert not ids(cloud.find_servers(cluster_id=orders[0].cluster_id))
