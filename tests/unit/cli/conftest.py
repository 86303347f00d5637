"""The command, run in this process against a real gateway."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from savanna_cli.main import run
from tests.unit.client.stage import staged

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.client.stage import Stage

CLUSTER_FILE = """\
name: demo
plugin: fake
version: 0.1
image: fake-0.1
network: net
node_groups:
  - name: m
    count: 1
    flavor: small
    processes: [namenode]
  - name: w
    count: 2
    flavor: tiny
    processes: [datanode]
    configs:
      HDFS:
        dfs.replication: 2
"""


@dataclass(frozen=True)
class Result:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Shell:
    """Runs commands as a user of one gateway; ``environ`` may be changed."""

    def __init__(self, where: Path, address: str) -> None:
        self.where = where
        self.environ = {"SAVANNA_ADDRESS": address, "HOME": str(where)}

    async def __call__(self, *words: str) -> Result:
        out, err = io.StringIO(), io.StringIO()
        code = await run(words, out=out, err=err, environ=self.environ)
        return Result(code, out.getvalue(), err.getvalue())

    def file(self, name: str, text: str) -> str:
        """Write a file and give its path."""
        path = self.where / name
        path.write_text(text)
        return str(path)

    async def launch(self) -> Result:
        """Launch the cluster of the file."""
        return await self("cluster", "create", "-f", self.file("cluster.yaml", CLUSTER_FILE))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as it:
        yield it


@pytest.fixture
def shell(stage: Stage, tmp_path: Path) -> Shell:
    return Shell(tmp_path, stage.address)
