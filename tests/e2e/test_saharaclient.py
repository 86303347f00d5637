"""Python-saharaclient 4.2, API version 2, does everything against ``savanna-all`` as it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from keystoneauth1 import noauth, session
from saharaclient.api.base import APIException
from saharaclient.client import Client

from tests.e2e.all_in_one import Running, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAKE = {"plugin_name": "fake", "plugin_version": "0.1"}
SECONDS = 30.0


@pytest.fixture(scope="module")
def savanna(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A process with the simulated cloud."""
    with running(tmp_path_factory.mktemp("all") / "data", "--cloud", "simulated") as it:
        yield it


@pytest.fixture
def sahara(savanna: Running) -> Any:
    """A client that is told where Savanna is, and asks no Keystone."""
    plain = session.Session(auth=noauth.NoAuth())
    return Client("2", session=plain, sahara_url=f"{savanna.rest}/v2")


@pytest.fixture
def network(savanna: Running) -> str:
    """The id of the cloud's network, of which Sahara's API does not speak."""
    return savanna.cloud().networks[0].id


def until(done: Callable[[], bool]) -> None:
    """Wait as scripts around the client do: by asking again."""
    deadline = time.monotonic() + SECONDS
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def active(sahara: Any, cluster_id: str) -> Any:
    """Wait until a cluster is Active."""
    until(lambda: sahara.clusters.get(cluster_id).status in ("Active", "Error"))
    found = sahara.clusters.get(cluster_id, show_progress=True)
    assert found.status == "Active", found.status_description
    return found


def gone(sahara: Any, cluster_id: str) -> bool:
    try:
        sahara.clusters.get(cluster_id)
    except APIException as error:
        return bool(error.error_name == "NOT_FOUND")
    return False


def registered_image(sahara: Any) -> Any:
    """Take an image out of the registry and register it again."""
    image = next(each for each in sahara.images.list() if "fake" in each.tags)
    sahara.images.delete_tags(image.id)
    sahara.images.unregister_image(image.id)
    assert image.id not in [each.id for each in sahara.images.list()]
    sahara.images.update_image(image.id, "savanna", "for the fake plugin")
    sahara.images.update_tags(image.id, ["fake", "0.1"])
    found = sahara.images.get(image.id)
    assert (found.username, sorted(found.tags)) == ("savanna", ["0.1", "fake"])
    return found


def made_templates(sahara: Any, image: Any) -> Any:
    """Make two node group templates, and a cluster template of them."""
    main = sahara.node_group_templates.create(
        "main", flavor_id="1", node_processes=["namenode", "jobtracker"], **FAKE
    )
    worker = sahara.node_group_templates.create(
        "worker", flavor_id="2", node_processes=["datanode", "tasktracker"], **FAKE
    )
    assert sahara.node_group_templates.update(worker.id, flavor_id="1").flavor_id == "1"
    groups = [
        {"name": each.name, "node_group_template_id": each.id, "count": count}
        for each, count in ((main, 1), (worker, 2))
    ]
    return sahara.cluster_templates.create("small", node_groups=groups, **FAKE)


def counts(cluster: Any) -> dict[str, int]:
    """Count the hosts of each group."""
    return {each["name"]: len(each["instances"]) for each in cluster.node_groups}


def scaled(sahara: Any, cluster_id: str) -> None:
    """Scale out with a new group, then in by the name of a host."""
    added = {"name": "more", "count": 1, "flavor_id": "1", "node_processes": ["datanode"]}
    wanted = {"name": "worker", "count": 3}
    request = {"add_node_groups": [added], "resize_node_groups": [wanted]}
    assert sahara.clusters.scale(cluster_id, request).cluster["status"] != "Active"
    larger = active(sahara, cluster_id)
    assert counts(larger) == {"main": 1, "worker": 3, "more": 1}
    group = next(each for each in larger.node_groups if each["name"] == "worker")
    leaving = group["instances"][1]["instance_name"]
    wanted = {"name": "worker", "count": 2, "instances": [leaving]}
    sahara.clusters.scale(cluster_id, {"resize_node_groups": [wanted]})
    smaller = active(sahara, cluster_id)
    assert counts(smaller) == {"main": 1, "worker": 2, "more": 1}
    assert leaving not in [
        each["instance_name"] for group in smaller.node_groups for each in group["instances"]
    ]


def ran_a_job(sahara: Any, cluster_id: str) -> None:
    """Run a program, and cancel another."""
    binary = sahara.job_binaries.create("count.sh", "internal-db://")
    sahara.job_binaries.api.put(
        f"/job-binaries/{binary.id}/data",
        data=b"echo counted",
        headers={"OpenStack-API-Version": "data-processing 2.1"},
    )
    assert sahara.job_binaries.get_file(binary.id) == b"echo counted"
    template = sahara.job_templates.create("count", "Shell", mains=[binary.id])
    job = sahara.jobs.create(template.id, cluster_id, configs={"args": ["a", "b"]})
    until(lambda: sahara.jobs.get(job.id).info["status"] == "SUCCEEDED")
    slow = sahara.jobs.create(
        template.id, cluster_id, configs={"configs": {"fake.job.delay": "60000"}}
    )
    until(lambda: sahara.jobs.get(slow.id).info["status"] == "RUNNING")
    sahara.jobs.refresh_status(slow.id)
    sahara.jobs.delete(slow.id)
    until(lambda: slow.id not in [each.id for each in sahara.jobs.list()])
    sahara.jobs.delete(job.id)
    until(lambda: sahara.jobs.list() == [])
    sahara.job_templates.delete(template.id)
    sahara.job_binaries.delete(binary.id)


def test_a_whole_life_goes_through_the_client(sahara: Any, network: str) -> None:
    assert sorted(each.name for each in sahara.plugins.list()) == ["fake", "spark"]
    assert "Shell" in [each.name for each in sahara.job_types.list()]
    image = registered_image(sahara)
    template = made_templates(sahara, image)
    made = sahara.clusters.create(
        "c1",
        cluster_template_id=template.id,
        default_image_id=image.id,
        net_id=network,
        **FAKE,
    )
    launched = active(sahara, made.id)
    assert counts(launched) == {"main": 1, "worker": 2}
    assert all(each["successful"] for each in launched.provision_progress)
    scaled(sahara, made.id)
    ran_a_job(sahara, made.id)
    with pytest.raises(APIException) as caught:
        sahara.cluster_templates.delete(template.id)
    assert caught.value.error_name == "INVALID_REFERENCE"
    sahara.clusters.delete(made.id)
    until(lambda: gone(sahara, made.id))
    sahara.cluster_templates.delete(template.id)
    for each in sahara.node_group_templates.list():
        sahara.node_group_templates.delete(each.id)
    assert sahara.clusters.list() == sahara.cluster_templates.list() == []


def test_force_delete_removes_a_cluster_in_the_middle_of_its_launch(
    sahara: Any, network: str
) -> None:
    image = next(each for each in sahara.images.list() if "fake" in each.tags)
    group = {
        "name": "all",
        "count": 1,
        "flavor_id": "1",
        "node_processes": ["namenode", "jobtracker"],
    }
    made = sahara.clusters.create(
        "c2",
        default_image_id=image.id,
        net_id=network,
        node_groups=[group],
        cluster_configs={"general": {"fake.delay.configure": 60_000}},
        **FAKE,
    )
    until(lambda: sahara.clusters.get(made.id).status == "Configuring")
    sahara.clusters.force_delete(made.id)
    until(lambda: gone(sahara, made.id))
