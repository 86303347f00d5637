"""Whole meshes: one on the simulated cloud, and one with real hosts whose traces are collected."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.collector import collecting
from tests.databases import fresh_database
from tests.mesh.networks import networks
from tests.mesh.plans import whole_mesh

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_all_in_one.mesh import Mesh

PLUGINS = ("fake", "spark")


@pytest.fixture(scope="module")
def simulated(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("simulated")
    with (
        fresh_database(request, "postgresql", folder) as url,
        networks() as nets,
        whole_mesh(folder, url, nets, cloud="simulated", plugins=PLUGINS) as mesh,
    ):
        yield mesh


@pytest.fixture(scope="package")
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("real")
    with (
        fresh_database(request, "postgresql", folder) as url,
        networks() as nets,
        tempfile.TemporaryDirectory(prefix="savanna-") as sockets,
        collecting(nets.outside, Path(sockets, "traces")) as collector,
        whole_mesh(folder, url, nets, cloud="local", plugins=PLUGINS, collector=collector) as mesh,
    ):
        yield mesh
