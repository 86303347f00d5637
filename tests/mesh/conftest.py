"""One whole mesh on the simulated cloud, and who collects its traces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.collector import collecting
from tests.databases import fresh_database
from tests.mesh.networks import networks
from tests.mesh.plans import whole_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_all_in_one.mesh import Mesh
    from tests.collector import Collector
    from tests.mesh.networks import Networks


@pytest.fixture(scope="package")
def nets() -> Iterator[Networks]:
    with networks() as nets:
        yield nets


@pytest.fixture(scope="package")
def collector(nets: Networks) -> Iterator[Collector]:
    with collecting(nets.outside) as collector:
        yield collector


@pytest.fixture(scope="package")
def simulated(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    nets: Networks,
    collector: Collector,
) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("simulated")
    with (
        fresh_database(request, "postgresql", folder) as url,
        whole_mesh(
            folder, url, nets, cloud="simulated", plugins=("fake",), collector=collector.address
        ) as mesh,
    ):
        yield mesh
