"""How the SSH channel connects: one line a host, shared by all threads."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from savanna_engine.remote.base import Command, RemoteFile
from savanna_engine.remote.connections import Connections
from savanna_engine.remote.errors import HostUnreachable, RemoteError
from savanna_engine.remote.fabric import FabricRemote
from savanna_engine.steps.servers import make_host_key
from tests.conformance.remote_channels import new_run
from tests.conformance.remote_hosts import TIMEOUT, do, poll, through

if TYPE_CHECKING:
    from savanna_engine.remote.base import Host
    from tests.conformance.remote_proxy import Proxy


def test_threads_share_one_connection_and_one_log_in(host: Host, proxy: Proxy) -> None:
    near = through(proxy, host)
    with contextlib.closing(FabricRemote()) as remote, ThreadPoolExecutor(16) as threads:
        asked = [threads.submit(do, remote, near, "sleep 0.1; echo x") for _ in range(16)]
        assert [each.result().output for each in asked] == [b"x\n"] * 16
    assert proxy.connections == 1


def test_an_idle_connection_gives_way_to_a_new_host(hosts: list[Host], proxy: Proxy) -> None:
    first = through(proxy, hosts[0])
    with contextlib.closing(FabricRemote(Connections(limit=1))) as remote:
        for each in (first, first, hosts[1], first):
            assert do(remote, each, "echo x").output == b"x\n"
    assert proxy.connections == 2


def test_a_connection_that_broke_while_idle_is_made_again(host: Host, proxy: Proxy) -> None:
    near = through(proxy, host)
    with contextlib.closing(FabricRemote()) as remote:
        for _ in range(5):
            assert do(remote, near, "echo x").output == b"x\n"
            proxy.cut()
    assert proxy.connections == 5


def test_a_connection_in_use_does_not_give_way(hosts: list[Host]) -> None:
    with (
        contextlib.closing(FabricRemote(Connections(limit=1))) as remote,
        ThreadPoolExecutor(3) as threads,
    ):
        asked = [threads.submit(do, remote, each, "sleep 0.3; echo x") for each in hosts]
        assert [each.result().output for each in asked] == [b"x\n"] * 3


def test_a_user_without_the_key_is_told_so(remote: FabricRemote, host: Host) -> None:
    private, _ = make_host_key()
    with pytest.raises(HostUnreachable, match="does not take the key"):
        remote.check(dataclasses.replace(host, private_key=private), TIMEOUT)


def test_a_key_that_can_not_be_read_is_told_so(remote: FabricRemote, host: Host) -> None:
    with pytest.raises(RemoteError, match="can not be read"):
        remote.check(dataclasses.replace(host, private_key="nonsense"), TIMEOUT)
    with pytest.raises(RemoteError, match="can not be read"):
        remote.check(dataclasses.replace(host, host_key=""), TIMEOUT)


def test_an_upload_that_is_cut_off_starts_nothing(host: Host, proxy: Proxy) -> None:
    run = new_run()
    near = through(proxy, host)
    big = Command("echo begun", files=[RemoteFile("data", bytes(60_000_000))])
    with contextlib.closing(FabricRemote()) as remote, ThreadPoolExecutor(1) as threads:
        remote.check(near, TIMEOUT)
        asked = threads.submit(remote.run, near, run, big, TIMEOUT)
        time.sleep(0.2)
        proxy.cut()
        with pytest.raises(HostUnreachable):
            asked.result(timeout=10)
        with pytest.raises(RemoteError):
            poll(remote, near, run)
        assert do(remote, near, "echo well").output == b"well\n"
