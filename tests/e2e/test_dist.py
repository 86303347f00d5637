"""The wheels, installed into an empty environment, and used from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement

from tests.e2e.all_in_one import running

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
UV = str(Path(sys.executable).parent / "uv")
CLUSTER = """
name: small
plugin: fake
node_groups:
  - {name: main, count: 1, flavor: simulated.small, processes: [namenode, jobtracker]}
  - {name: worker, count: 2, flavor: simulated.small, processes: [datanode, tasktracker]}
"""


def run(*words: str, cwd: Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheels."""
    folder = tmp_path_factory.mktemp("dist")
    said = run(sys.executable, str(ROOT / "tools" / "dist"), "--to", str(folder), cwd=ROOT)
    assert said.count(".whl\n") == len(list(folder.glob("*.whl")))
    # A later version of one member must not come beside former ones of the others.
    assert "savanna-kit==0.1.0\n" in (folder / "constraints.txt").read_text()
    return folder


def test_the_wheels_serve_and_launch_without_a_clone(dist: Path, tmp_path: Path) -> None:
    environment = {"VIRTUAL_ENV": str(tmp_path / "empty"), "PYTHONPATH": ""}
    run(UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "empty"), cwd=tmp_path)
    run(
        UV, "pip", "install", "--quiet", "--find-links", str(dist),
        "--constraint", str(dist / "constraints.txt"), "savanna-all-in-one", "savanna-cli",
        cwd=tmp_path, environment=environment,
    )  # fmt: skip
    bin_folder = tmp_path / "empty" / "bin"
    with running(
        tmp_path / "data", "--cloud", "simulated", command=str(bin_folder / "savanna-all")
    ) as savanna:
        (tmp_path / "small.yaml").write_text(CLUSTER)
        run(
            str(bin_folder / "savanna"), "--address", savanna.grpc,
            "cluster", "create", "-f", "small.yaml", "--watch",
            cwd=tmp_path,
        )  # fmt: skip
        listed = run(
            str(bin_folder / "savanna"), "--address", savanna.grpc, "cluster", "list",
            cwd=tmp_path,
        )  # fmt: skip
        assert re.search(r"small\b.*\bActive\b", listed), listed


def everything_of(distribution: str) -> set[str]:
    """Name all that is installed with a distribution, directly or not."""
    found: set[str] = set()
    waiting = [distribution]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        needed = map(Requirement, metadata.requires(name) or [])
        waiting += [
            re.sub("[-_.]+", "-", each.name).lower()
            for each in needed
            if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    return found


SQL = {"sqlalchemy", "alembic", "psycopg2-binary"}
CLOUDS = {"fabric", "paramiko", "python-novaclient"}
HTTP = {"uvicorn", "starlette"}


@pytest.mark.parametrize(
    ("distribution", "lacks"),
    [
        ("savanna-api-gateway", SQL | CLOUDS),
        ("savanna-conductor", CLOUDS | HTTP),
        ("savanna-scheduler", SQL | CLOUDS | HTTP),
        ("savanna-engine", SQL | HTTP),
        ("savanna-plugin-spark", SQL | CLOUDS | HTTP),
        ("savanna-plugin-fake", SQL | CLOUDS | HTTP),
        ("savanna-cli", SQL | CLOUDS | HTTP),
        ("savanna-manage", SQL | CLOUDS | HTTP | {"grpcio"}),
    ],
)
def test_a_wheel_brings_only_what_its_room_needs(distribution: str, lacks: set[str]) -> None:
    everything = everything_of(distribution)
    assert "savanna-all-in-one" not in everything
    assert everything & lacks == set()
