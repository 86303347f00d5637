"""The contract with users and authors of plugins may grow, and takes nothing back."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BUF = str(Path(sys.executable).parent / "buf")


def judged(folder: Path) -> tuple[int, str]:
    """Compare a copy of the contract with that of the last release, as ``make lint`` does."""
    done = subprocess.run(
        [BUF, "breaking", "--against", str(ROOT / "protos" / "released.binpb")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "buf.yaml", tmp_path)
    shutil.copytree(ROOT / "protos" / "savanna", tmp_path / "protos" / "savanna")
    (tmp_path / "protos" / "src").mkdir()
    return tmp_path


def change(folder: Path, file: str, line: str, instead: str) -> None:
    path = folder / "protos" / "savanna" / file
    text = path.read_text()
    assert text.count(line) == 1
    path.write_text(text.replace(line, instead))


def test_what_is_there_keeps_what_was_released_and_may_grow(copy: Path) -> None:
    assert judged(copy) == (0, "")
    line = "message GetMeshStatusRequest {}"
    change(copy, "api/v1/mesh_service.proto", line, line.replace("{}", "{ bool brief = 1; }"))
    assert judged(copy) == (0, "")


@pytest.mark.parametrize(
    ("file", "line", "instead", "named"),
    [
        ("api/v1/mesh_service.proto", "MeshStatus status = 1;", "MeshStatus mesh = 1;", "mesh"),
        ("plugin/v1/plugin_service.proto", "rpc Plan(", "rpc PlanAll(", '"Plan"'),
        ("common/v1/violation.proto", "string field = 1;", "int32 field = 1;", "int32"),
    ],
    ids=["a field's name", "a method", "a type"],
)
def test_what_takes_something_back_is_refused_by_name(
    copy: Path, file: str, line: str, instead: str, named: str
) -> None:
    change(copy, file, line, instead)
    code, text = judged(copy)
    assert (code, named in text) == (100, True), text
