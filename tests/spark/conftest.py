"""One mesh, one cluster of three hosts and one text, shared by all tests of real Spark."""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.real_meshes import real_mesh
from tests.spark.user import Configs, spark_user_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_all_in_one.mesh import Mesh
    from tests.spark.user import SparkUser

LEAST_BYTES = 1_000_000

CONFIGS: Configs = {
    "spark.sql.session.timeZone": "Europe/Rome",
    "spark.speculation": False,
    "spark-defaults.conf": "spark.savanna.one=1; spark.savanna.two=a b",
}
WORKER_CONFIGS: Configs = {
    "Worker cores": 3,
    "Worker memory": "1500m",
    "spark-env.sh": "COLOR=dark red",
    "spark.executor.memory": "600m",
}


@pytest.fixture(scope="package")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Run a mesh with the Spark plugin on hosts of this machine."""
    with real_mesh(tmp_path_factory.mktemp("mesh"), "spark") as mesh:
        yield mesh


@pytest.fixture(scope="package")
def cluster(mesh: Mesh) -> Cluster:
    """Launch a master and two workers."""

    async def launch() -> Cluster:
        async with spark_user_of(mesh) as user:
            begun = await user.begin_spark("shared", 2, CONFIGS, WORKER_CONFIGS)
            return await user.active(begun.operation)

    return asyncio.run(launch())


@pytest.fixture
async def user(mesh: Mesh) -> AsyncIterator[SparkUser]:
    """Give a user of Spark."""
    async with spark_user_of(mesh) as user:
        yield user


@pytest.fixture
def meeting_place() -> Iterator[Path]:
    """Give a folder where the programs of all hosts may leave files."""
    # Hosts have a /tmp of their own.
    with tempfile.TemporaryDirectory(prefix="savanna-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.fixture(scope="package")
def text() -> Iterator[Path]:
    """Write a text that every host can read: the library of this Python, more than a megabyte."""
    with tempfile.TemporaryDirectory(prefix="savanna-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "text")
        modules = sorted(Path(os.__file__).parent.glob("*.py"))
        path.write_text("\n".join(each.read_text(errors="replace") for each in modules))
        assert path.stat().st_size > LEAST_BYTES
        path.chmod(0o644)
        yield path


@pytest.fixture(scope="package")
def counts(text: Path) -> Counter[str]:
    """Count its words without Spark."""
    return Counter(re.findall("[a-z]+", text.read_text().lower()))
