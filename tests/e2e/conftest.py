"""One mesh for each database, shared by all tests that do not make their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.databases import fresh_database
from tests.e2e.meshes import QUICK, simulated_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_all_in_one.mesh import Mesh

MEASURED = {
    kind: {**QUICK.get(kind, {}), "METRICS_ADDRESS": "127.0.0.1:0"}
    for kind in ("CONDUCTOR", "SCHEDULER", "ENGINE", "API")
}


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def mesh(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    """Run a mesh of two engines on the simulated cloud."""
    folder = tmp_path_factory.mktemp("mesh")
    with (
        fresh_database(request, request.param, folder) as database_url,
        simulated_mesh(folder, database_url, MEASURED) as mesh,
    ):
        yield mesh
