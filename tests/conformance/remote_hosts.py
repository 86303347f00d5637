"""Real hosts with a real shell, and what tests say to them again and again."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

import pytest

from savanna_engine.remote.base import Command, RemoteFile
from savanna_engine.remote.fabric import FabricRemote
from tests.conformance.remote_channels import local_hosts, new_run
from tests.conformance.remote_proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from savanna_engine.remote.base import Host, RunId, RunState

TIMEOUT = 20.0


@pytest.fixture(scope="session")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with local_hosts(tmp_path_factory.mktemp("hosts"), 3, hosts="auto") as made:
        yield made


@pytest.fixture(scope="session")
def host(hosts: list[Host]) -> Host:
    return hosts[0]


@pytest.fixture(scope="session")
def remote() -> Iterator[FabricRemote]:
    with contextlib.closing(FabricRemote(grace=0.5)) as made:
        yield made


@pytest.fixture
def proxy(host: Host) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(host.address, host.port)) as made:
        yield made


def through(proxy: Proxy, host: Host) -> Host:
    return dataclasses.replace(host, address="127.0.0.1", port=proxy.port)


def do(
    remote: FabricRemote,
    host: Host,
    script: str,
    *,
    environment: Mapping[str, str] | None = None,
    files: Sequence[RemoteFile] = (),
) -> RunState:
    """Run a script under a name of its own."""
    command = Command(f"set -eu\n{script}\n", environment or {}, files)
    return remote.run(host, new_run(), command, TIMEOUT)


def poll(remote: FabricRemote, host: Host, run: RunId, offset: int = 0) -> RunState:
    return remote.poll(host, run, output_offset=offset, errors_offset=0, timeout=TIMEOUT)
