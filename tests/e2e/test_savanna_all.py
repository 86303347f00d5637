"""``savanna-all`` is a product: it starts with one line, ends cleanly, and goes on where it was."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from savanna.api.v1 import catalog_service_pb2 as catalog
from savanna.cluster.v1.cluster_pb2 import Cluster
from savanna.operation.v1.operation_pb2 import Operation
from savanna_kit.errors import Unavailable
from tests.e2e.all_in_one import ANY_PORT, SECONDS, purged, refused, running
from tests.e2e.user import User, instances

if TYPE_CHECKING:
    from collections.abc import Iterator

SIMULATED = ("--cloud", "simulated")
LONG = {
    "SAVANNA_CONDUCTOR_ENGINE_LEASE_SECONDS": "600",
    "SAVANNA_CONDUCTOR_SCHEDULER_LEASE_SECONDS": "600",
}
"""Leases so long that no test could wait for those of the killed."""

_LISTENING = "0A"
"""The state of a listening socket in /proc/net/tcp."""

_ACCEPTS = "00010000"
"""The flags of a listening socket in /proc/net/unix."""


def inodes_of_sockets(pid: int) -> set[str]:
    """Give the numbers of a process's sockets, as the tables in /proc/net name them."""
    inodes = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        # A descriptor may be closed meanwhile.
        target = os.readlink(each) if each.is_symlink() else ""
        if target.startswith("socket:["):
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    return inodes


def listening_ports(pid: int) -> set[int]:
    """List the TCP ports at which a process listens."""
    inodes = inodes_of_sockets(pid)
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTENING and words[9] in inodes:
                ports.add(int(words[1].rpartition(":")[2], 16))
    return ports


def folders_of_sockets(pid: int) -> set[Path]:
    """List the folders with sockets at which a process listens, wherever they are."""
    inodes = inodes_of_sockets(pid)
    folders = set()
    for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()[1:]:
        words = line.split(maxsplit=7)
        if len(words) == 8 and words[3] == _ACCEPTS and words[6] in inodes:
            folders.add(Path(words[7]).parent)
    return folders


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


def test_it_serves_says_so_in_one_line_and_ends_cleanly(tmp_path: Path) -> None:
    with running(tmp_path / "data", *SIMULATED) as savanna:
        assert httpx.get(f"{savanna.rest}/v2/plugins").status_code == 200
        assert savanna.log == tmp_path / "data" / "savanna.log"
        assert "service_ready" in savanna.log.read_text()
        begun = time.monotonic()
        assert savanna.stop() == 0
        assert time.monotonic() - begun < 5.0
        assert savanna.process.stdout is not None
        assert savanna.process.stdout.read() == ""


def test_ctrl_c_ends_it_as_cleanly(tmp_path: Path) -> None:
    with running(tmp_path / "data", *SIMULATED) as savanna:
        assert savanna.stop(signal.SIGINT) == 0
        assert not (tmp_path / "data" / "sockets").exists()


async def test_it_ends_at_once_while_somebody_watches(tmp_path: Path) -> None:
    with running(tmp_path / "data", *SIMULATED) as savanna:
        async with savanna.client() as client, asyncio.timeout(SECONDS):
            await User(client).launch("c1", 1)
            watch = client.watch(patience=0.0)
            await anext(watch)
            begun = time.monotonic()
            savanna.process.terminate()
            with pytest.raises(Unavailable):
                async for _ in watch:
                    pass
            assert savanna.process.wait(SECONDS) == 0
            # Streams that nobody ends are cut off after five seconds.
            assert time.monotonic() - begun < 4.0


def test_only_rest_and_grpc_have_ports_and_nobody_else_reaches_the_sockets(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with running(folder, *SIMULATED) as savanna:
        open_ports = listening_ports(savanna.process.pid)
        assert open_ports == {port_of(savanna.rest), port_of(savanna.grpc)}
        assert folder.stat().st_mode & 0o777 == 0o700
        # They lie elsewhere when the path of this test's folder is long.
        [sockets] = folders_of_sockets(savanna.process.pid)
        assert sockets.stat().st_mode & 0o777 == 0o700


def test_sockets_lie_elsewhere_when_the_path_is_too_long_for_them(tmp_path: Path) -> None:
    with running(tmp_path / ("long" * 30), *SIMULATED) as savanna:
        assert httpx.get(f"{savanna.rest}/v2/plugins").status_code == 200
        assert savanna.stop() == 0


def test_a_second_process_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "data", *SIMULATED):
        code, text = refused("--data-dir", str(tmp_path / "data"))
        assert code == 2
        assert text == (
            f"savanna-all: another process uses {tmp_path}/data; "
            "end it, or choose another with --data-dir\n"
        )
        assert refused("--purge", str(tmp_path / "data"))[0] == 2


@pytest.fixture
def used() -> Iterator[str]:
    """An address at which something else listens."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield f"127.0.0.1:{other.getsockname()[1]}"


@pytest.mark.parametrize("door", ["--rest", "--grpc"])
def test_a_port_in_use_is_refused_in_one_sentence(tmp_path: Path, used: str, door: str) -> None:
    other = {"--rest": "--grpc", "--grpc": "--rest"}[door]
    code, text = refused("--data-dir", str(tmp_path), *SIMULATED, door, used, other, ANY_PORT)
    assert code == 2
    assert text.startswith("savanna-all: ")
    assert used in text
    assert "in use" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "settings", "text"),
    [
        (["--auth", "keys"], {}, "--auth keys is not known; use none or tokens=FILE"),
        (["--auth", "tokens=/nope"], {}, "--auth: /nope: can not be read"),
        (["--cloud", "moon"], {}, "--cloud moon is not known; use local or simulated"),
        (["--rest", "0.0.0.0:0"], {}, "--rest 0.0.0.0:0 can be reached by others"),
        (["--grpc", "8387"], {}, "--grpc 8387 is no address: give host:port"),
        (["--local-hosts", "real"], {}, "--local-hosts: Input should be 'auto'"),
        ([], {"SAVANNA_ALL_REZT": "x"}, "SAVANNA_ALL_REZT is not a setting; did you mean SAV"),
        ([], {"SAVANNA_ALL_LISTEN": "x"}, "SAVANNA_ALL_LISTEN is not a setting"),
        ([], {"SAVANNA_ALL_LOG_LEVEL": "loud"}, "SAVANNA_ALL_LOG_LEVEL: Input should be 'debug'"),
        (["--data-dir", "/proc/none"], {}, "/proc/none can not be made"),
        (["--purge", "/none"], {}, "/none can not be used (No such file or directory)"),
    ],
)
def test_what_can_not_be_used_is_refused_in_words_of_the_command_line(
    tmp_path: Path, words: list[str], settings: dict[str, str], text: str
) -> None:
    usual = ["--data-dir", str(tmp_path), "--rest", ANY_PORT, "--grpc", ANY_PORT]
    code, said = refused(*usual, *words, settings=settings)
    assert code == 2
    assert said.startswith(f"savanna-all: {text}") or text in said
    assert said.count("\n") == 1
    assert "Traceback" not in said


async def test_a_launch_goes_on_where_it_was_when_the_process_was_killed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    try:
        with running(data, settings=LONG) as savanna:
            async with savanna.client() as client:
                user = User(client)
                begun = await user.launch("c1", 2, {"fake.delay.configure": 1500})
                await hosts_are_made(user, "c1", 3)
                before = {
                    each.name: each.provider_id for each in instances(await user.cluster("c1"))
                }
            assert savanna.stop(signal.SIGKILL) == -signal.SIGKILL
        with running(data, settings=LONG) as savanna:
            async with savanna.client() as client:
                user = User(client)
                ended = await client.wait(begun.operation.id)
                assert ended.state == Operation.STATE_SUCCEEDED
                cluster = await user.cluster("c1")
                assert cluster.state == Cluster.STATE_ACTIVE
                assert {each.name: each.provider_id for each in instances(cluster)} == before
                await user.delete("c1")
                offered = (await client.catalog.GetCloud(catalog.GetCloudRequest())).cloud
                assert [each.used for each in offered.quotas if each.name == "instances"] == [0]
            assert savanna.stop() == 0
    finally:
        purged(data)


async def test_purge_removes_the_hosts_that_a_killed_process_left(tmp_path: Path) -> None:
    data = tmp_path / "data"
    try:
        with running(data) as savanna:
            async with savanna.client() as client:
                user = User(client)
                await user.launch("c1", 1, {"fake.delay.configure": 60_000})
                await hosts_are_made(user, "c1", 2)
            savanna.stop(signal.SIGKILL)
    finally:
        said = purged(data)
    assert said == f"{data}: 2 hosts are removed\n"
    assert purged(data) == f"{data}: no host was left\n"


def test_a_purge_of_what_is_no_data_directory_is_refused_and_says_which_is(tmp_path: Path) -> None:
    (tmp_path / "data" / "hosts").mkdir(parents=True)
    (tmp_path / "data" / "hosts" / "cloud-id").write_text("0badcafe")
    (tmp_path / "other").mkdir()
    for wrong, hint in {
        tmp_path / "data" / "hosts": f"it is the hosts folder of one: give {tmp_path}/data",
        tmp_path: f"give {tmp_path}/data",
        tmp_path / "other": "give the folder that --data-dir named",
    }.items():
        code, text = refused("--purge", str(wrong))
        assert code == 2
        assert text == (
            f"savanna-all: {wrong} is no data directory: "
            f"it has neither savanna.db nor hosts/cloud-id; {hint}\n"
        )
        assert not (wrong / "lock").exists()
    # The folder of a mesh on PostgreSQL has hosts alone.
    assert purged(tmp_path / "data").endswith("no host was left\n")


async def hosts_are_made(user: User, name: str, count: int) -> None:
    """Wait until a cluster has as many hosts with an address."""
    async with asyncio.timeout(30):
        while True:
            hosts = instances(await user.cluster(name))
            if sum(bool(each.internal_ip) for each in hosts) == count:
                return
            await asyncio.sleep(0.05)
