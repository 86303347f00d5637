"""Making hosts: in namespaces of their own for root, on loopback addresses for everyone else."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from savanna_engine.cloud.errors import CloudRefused, CloudUnavailable
from savanna_engine.cloud.local import catalog, marks, network, sshd, sshd_folder
from savanna_engine.cloud.local.records import HostRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from savanna_engine.cloud.base import ServerOrder
    from savanna_engine.cloud.local.catalog import Distribution
    from savanna_engine.cloud.local.records import Records

T = TypeVar("T")

START_TIMEOUT = 15.0
"""Seconds for a host to begin; a busy machine needs about one."""

_USER = "savanna"
_USER_ID = 64100
_PASSWD = f"""root:*:0:0:root:/root:/bin/sh
sshd:*:100:65534::/run/sshd:/usr/sbin/nologin
{_USER}:*:{_USER_ID}:{_USER_ID}::/home/{_USER}:/bin/sh
"""


class HostMaker(Protocol):
    """A way to make hosts on this machine."""

    username: str
    """User that engines log in as."""

    def make(self, order: ServerOrder, address_number: int) -> HostRecord:
        """Start a host in its prepared, empty folder and give its record, not yet written."""

    def is_up(self, record: HostRecord) -> bool:
        """Say whether its SSH server listens."""

    def clean(self, instance_id: str) -> None:
        """Remove what a host had outside its folder and processes."""

    def clean_cloud(self) -> None:
        """Remove what all hosts shared, once none is left."""


class NamespaceHosts:
    """Hosts with network, process, name and mount namespaces of their own.

    Needs root.
    """

    username = _USER

    def __init__(
        self, records: Records, distribution: Distribution | None, namespace: str = ""
    ) -> None:
        self._records = records
        self._distribution = distribution
        self._namespace = namespace
        self._init = str(resources.files("savanna_engine.cloud.local") / "init.sh")

    def make(self, order: ServerOrder, address_number: int) -> HostRecord:
        """Start the host's init, give it a link, and wait until it listens."""
        net = network.ensure_network(self._records, self._namespace)
        address = net.address(address_number)
        folder = self._records.folder(order.instance_id)
        spark, python = self._mounts(order)
        self._write_files(folder, order, spark=spark, python=python)
        hosts = self._records.name_in_cluster(order.cluster_id, order.name, address)
        # Engines that are elsewhere than the bridge are reached through it.
        gateway = net.address(1) if self._namespace else "-"
        pid = self._start(
            order, [str(folder), f"{address}/24", order.name, str(hosts), spark, python, gateway]
        )
        network.plug(net, order.instance_id, pid)
        wait_for((folder / "up").exists, f"the SSH server of {order.name} does not listen")
        return HostRecord(
            instance_id=order.instance_id,
            cluster_id=order.cluster_id,
            name=order.name,
            flavor_id=order.flavor_id,
            address=address,
            port=22,
            user=_USER,
            host_public_key=order.host_public_key,
            pid=pid,
            started=marks.start_time(pid),
            project_id=order.project_id,
            deployment_id=order.deployment_id,
            made_at=time.time(),
        )

    def is_up(self, record: HostRecord) -> bool:
        """Say whether the init has seen its SSH server listen."""
        return (self._records.folder(record.instance_id) / "up").exists()

    def clean(self, instance_id: str) -> None:
        """Remove the link."""
        network.unplug(self._records, instance_id)

    def clean_cloud(self) -> None:
        """Remove the bridge."""
        network.remove_network(self._records)

    def _mounts(self, order: ServerOrder) -> tuple[str, str]:
        if order.image_id != catalog.SPARK_IMAGE_ID or self._distribution is None:
            return "-", "-"
        prefix = self._distribution.python_prefix
        # A Python below a closed home folder can not be reached by the host's user: it is mounted.
        return str(self._distribution.home), "-" if prefix == Path("/usr") else str(prefix)

    def _write_files(self, folder: Path, order: ServerOrder, *, spark: str, python: str) -> None:
        environment = sshd.login_environment(
            cloud_id=self._records.cloud_id,
            instance_id=order.instance_id,
            spark_home="" if spark == "-" else "/run/spark",
            python="/usr/bin/python3" if python == "-" else "/run/python/bin/python3",
            java_home=java_home(),
        )
        sshd.write_files(folder, order, sshd.SshdPlace("/run/savanna", 22), environment)
        (folder / "etc" / "passwd").write_text(_PASSWD)
        for name, mode in (("home", 0o750), ("tmp", 0o1777)):
            (folder / name).mkdir(exist_ok=True)
            (folder / name).chmod(mode)
        os.chown(folder / "home", _USER_ID, _USER_ID)

    def _start(self, order: ServerOrder, arguments: list[str]) -> int:
        folder = self._records.folder(order.instance_id)
        outer = folder / "outer-pid"
        unshare = "unshare --net --pid --uts --mount --fork --mount-proc"
        shell = f'echo $$ >"$0"; exec {unshare} sh "$@"'
        with (folder / "init.log").open("wb") as log:
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", shell, str(outer), self._init, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._marked_environment(order.instance_id),
                check=True,
                timeout=START_TIMEOUT,
            )
        return int(wait_for(lambda: first_child(outer), f"no process of {order.name} started"))

    def _marked_environment(self, instance_id: str) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            marks.CLOUD_MARK: self._records.cloud_id,
            marks.HOST_MARK: instance_id,
        }


class LoopbackHosts:
    """Hosts without isolation on addresses 127.x.y.z: for users who are not root, and where
    namespaces are closed."""

    def __init__(self, records: Records, distribution: Distribution | None) -> None:
        self._records = records
        self._distribution = distribution
        self.username = getpass.getuser()
        # Two clouds on one machine get different second and third bytes; 127.0.x.y is left to
        # others.
        seed = int(records.cloud_id, 16)
        self._prefix = f"127.{64 + seed % 128}.{seed // 128 % 256}"

    def make(self, order: ServerOrder, address_number: int) -> HostRecord:
        """Start an SSH server on an address and a home of its own."""
        address = f"{self._prefix}.{address_number}"
        folder = self._records.folder(order.instance_id)
        home = folder / "home"
        home.mkdir(exist_ok=True, mode=0o700)
        place = sshd.SshdPlace(str(folder), 2222, listen=address, home=str(home))
        environment = self._environment(order)
        sshd.write_files(folder, order, place, environment)
        if os.geteuid() == 0:
            sshd_folder.use(self._records)
        pid = self._start(order, folder, environment)
        record = HostRecord(
            instance_id=order.instance_id,
            cluster_id=order.cluster_id,
            name=order.name,
            flavor_id=order.flavor_id,
            address=address,
            port=place.port,
            user=self.username,
            host_public_key=order.host_public_key,
            pid=pid,
            started=marks.start_time(pid),
            project_id=order.project_id,
            deployment_id=order.deployment_id,
            made_at=time.time(),
        )
        wait_for(lambda: self.is_up(record), f"the SSH server of {order.name} does not listen")
        return record

    def is_up(self, record: HostRecord) -> bool:
        """Say whether its SSH server listens; on loopback a look costs nothing."""
        try:
            socket.create_connection((record.address, record.port), timeout=1).close()
        except OSError:
            return False
        return True

    def clean(self, instance_id: str) -> None:
        """Leave nothing to remove: there is no link."""

    def clean_cloud(self) -> None:
        """Remove what SSH servers of root need."""
        sshd_folder.leave(self._records)

    def _start(self, order: ServerOrder, folder: Path, environment: dict[str, str]) -> int:
        # Not a child of this process, which would have to wait for its end one day.
        said = folder / "sshd-pid"
        server = [sshd.SSHD, "-D", "-e", "-f", str(folder / "etc" / "sshd_config")]
        with (folder / "sshd.log").open("ab") as log:
            subprocess.run(
                ["setsid", "--fork", "sh", "-c", 'echo $$ >"$0"; exec "$@"', str(said), *server],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                check=True,
                timeout=START_TIMEOUT,
            )
        return int(wait_for(lambda: _read(said), f"no process of {order.name} started"))

    def _environment(self, order: ServerOrder) -> dict[str, str]:
        spark = self._distribution if order.image_id == catalog.SPARK_IMAGE_ID else None
        return sshd.login_environment(
            cloud_id=self._records.cloud_id,
            instance_id=order.instance_id,
            spark_home=str(spark.home) if spark else "",
            python=str(spark.python_prefix / "bin" / "python3") if spark else "",
            java_home=java_home(),
        )


def choose_hosts(
    kind: str, records: Records, distribution: Distribution | None, namespace: str = ""
) -> HostMaker:
    """Choose the way to make hosts: "namespaces", "loopback", or "auto" for the best that this user
    may use; raises ``CloudRefused`` for what this machine lacks."""
    if not Path(sshd.SSHD).exists():
        raise CloudRefused(
            "the local cloud needs an SSH server: install openssh-server "
            "(apt-get install openssh-server), it need not run"
        )
    if kind != "loopback" and namespaces_allowed():
        return NamespaceHosts(records, distribution, namespace)
    if kind == "namespaces":
        raise CloudRefused(
            "SAVANNA_ENGINE_LOCAL_HOSTS=namespaces needs root, a machine that lets root make "
            "namespaces, and the programs ip and unshare (apt-get install iproute2 util-linux); "
            "use auto or loopback instead"
        )
    return LoopbackHosts(records, distribution)


def namespaces_allowed() -> bool:
    """Say whether this process may make hosts with namespaces of their own."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "--net", "--pid", "--uts", "--mount", "--fork", "true"],
        capture_output=True,
        check=False,
        timeout=START_TIMEOUT,
    )
    return tried.returncode == 0


def java_home() -> str:
    """Find the folder of the Java on this machine's path; empty when there is none."""
    java = shutil.which("java")
    return str(Path(java).resolve().parent.parent) if java else ""


def first_child(outer_pid_file: Path) -> int:
    """Read the first child of the process named in a file; 0 while there is none."""
    try:
        outer = outer_pid_file.read_text().strip()
        children = Path("/proc", outer, "task", outer, "children").read_text().split()
    except OSError:
        return 0
    return int(children[0]) if outer and children else 0


def _read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def wait_for(look: Callable[[], T], otherwise: str) -> T:
    """Look again and again until there is something; raises ``CloudUnavailable`` after
    ``START_TIMEOUT``."""
    deadline = time.monotonic() + START_TIMEOUT
    while not (seen := look()):
        if time.monotonic() > deadline:
            raise CloudUnavailable(f"{otherwise} after {START_TIMEOUT:.0f} s")
        time.sleep(0.005)
    return seen
