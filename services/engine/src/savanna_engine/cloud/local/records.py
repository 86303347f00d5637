"""Where the local cloud keeps what it made: one folder a host, its record written last.

::

    <root>/cloud-id              random; marks every process of this cloud
    <root>/network.json          bridge and subnet, once there is one
    <root>/clusters/<id>/hosts   the /etc/hosts that all hosts of a cluster share
    <root>/addresses/<number>    a reserved address: a link to
                                 <instance id>/<flavor id>/<cluster id>/<deployment id>
    <root>/hosts/<instance id>/  etc/ home/ tmp/ record.json

A folder without a record is a host whose making was cut off: it can be removed, never used.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from savanna_engine.cloud.base import ServerOrder


@dataclass(frozen=True)
class HostRecord:
    """A host that was made.

    ``pid`` and ``started`` (clock ticks since boot) name its first process for sure.
    """

    instance_id: str
    cluster_id: str
    name: str
    flavor_id: str
    address: str
    port: int
    user: str
    host_public_key: str
    pid: int
    started: int
    project_id: str = ""
    deployment_id: str = ""
    made_at: float = 0.0
    """Seconds since 1970."""


@dataclass(frozen=True)
class Reservation:
    """What is reserved for a host, and whose it is, from before there is anything of it.

    ``made_at`` is in seconds since 1970.
    """

    number: int
    instance_id: str
    flavor_id: str
    cluster_id: str
    deployment_id: str
    made_at: float


class Records:
    """The folder of one local cloud.

    Safe for several threads and processes: writers hold a lock on it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.hosts = root / "hosts"
        self.clusters = root / "clusters"
        self.addresses = root / "addresses"
        for folder in (self.hosts, self.clusters, self.addresses):
            folder.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.cloud_id = self._cloud_id()

    def _cloud_id(self) -> str:
        path = self.root / "cloud-id"
        with self.locked(self.root):
            if not path.exists():
                write_atomically(path, secrets.token_hex(6))
            return path.read_text()

    @contextmanager
    def locked(self, folder: Path) -> Iterator[None]:
        """Hold the only lock on a folder; locking the folder itself leaves no lock file behind."""
        descriptor = _lock(folder)
        try:
            yield
        finally:
            os.close(descriptor)

    def folder(self, instance_id: str) -> Path:
        """Give the folder of a host, which may not exist.

        Raises ``ValueError`` for what would name another folder.
        """
        if instance_id in ("", ".", "..") or "/" in instance_id:
            raise ValueError(f"'{instance_id}' is no id of an instance")
        return self.hosts / instance_id

    @contextmanager
    def begun(self, instance_id: str) -> Iterator[Path]:
        """Make the folder of a host, or find it, and hold the only lock on it."""
        folder = self.folder(instance_id)
        descriptor = _lock_made(folder)
        try:
            yield folder
        finally:
            os.close(descriptor)

    def read(self, instance_id: str) -> HostRecord | None:
        """Read the record of a host; None when it was never finished or is gone."""
        try:
            text = (self.folder(instance_id) / "record.json").read_text()
        except FileNotFoundError:
            return None
        return HostRecord(**json.loads(text))

    def write(self, record: HostRecord) -> None:
        """Record a finished host; after this it exists for everyone."""
        write_atomically(
            self.folder(record.instance_id) / "record.json", json.dumps(asdict(record), indent=1)
        )

    def instance_ids(self) -> list[str]:
        """List all hosts that were begun, finished or not."""
        return sorted(path.name for path in self.hosts.iterdir())

    def reserve(
        self,
        order: ServerOrder,
        *,
        first: int,
        last: int,
        check: Callable[[Sequence[str]], None],
    ) -> int:
        """Reserve the lowest free number for a host, or find the one already reserved.

        ``check`` gets the sizes of all other hosts, finished or not, and may raise; nobody else
        reserves meanwhile. Raises ``LookupError`` when all numbers are taken.
        """
        with self.locked(self.addresses):
            reserved = self._reservations()
            for each in reserved:
                if each.instance_id == order.instance_id:
                    return each.number
            check([each.flavor_id for each in reserved])
            taken = {each.number for each in reserved}
            free = next((n for n in range(first, last + 1) if n not in taken), None)
            if free is None:
                raise LookupError(f"all {last - first + 1} addresses of the local cloud are taken")
            marks = (order.instance_id, order.flavor_id, order.cluster_id, order.deployment_id)
            # A link is whole from the beginning: nobody holds the lock for as long as a disk needs.
            (self.addresses / str(free)).symlink_to("/".join(marks))
            return free

    def release(self, instance_id: str) -> None:
        """Free what is reserved for a host, if anything is."""
        with self.locked(self.addresses):
            for each in self._reservations():
                if each.instance_id == instance_id:
                    (self.addresses / str(each.number)).unlink()

    def reservations(self) -> list[Reservation]:
        """List what is reserved for hosts, finished or not."""
        with self.locked(self.addresses):
            return self._reservations()

    def _reservations(self) -> list[Reservation]:
        found = []
        for path in self.addresses.iterdir():
            marks = os.readlink(path).split("/")
            # Links of earlier versions end after the flavor.
            marks += [""] * (4 - len(marks))
            instance_id, flavor_id, cluster_id, deployment_id = marks
            found.append(
                Reservation(
                    number=int(path.name),
                    instance_id=instance_id,
                    flavor_id=flavor_id,
                    cluster_id=cluster_id,
                    deployment_id=deployment_id,
                    made_at=path.lstat().st_mtime,
                )
            )
        return found

    def name_in_cluster(self, cluster_id: str, name: str, address: str) -> Path:
        """Add a line to the hosts file of a cluster; gives the file.

        Its inode stays, for it is mounted.
        """
        folder = self.clusters / cluster_id
        folder.mkdir(exist_ok=True, mode=0o755)
        path = folder / "hosts"
        with self.locked(folder):
            lines = path.read_text().splitlines() if path.exists() else ["127.0.0.1 localhost"]
            kept = [line for line in lines if line.split()[-1] != name]
            _overwrite(path, "\n".join([*kept, f"{address} {name}"]) + "\n")
        return path

    def forget_cluster(self, cluster_id: str) -> None:
        """Remove what the hosts of a cluster shared."""
        shutil.rmtree(self.clusters / cluster_id, ignore_errors=True)


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _lock_made(folder: Path) -> int:
    """Make a folder and lock it; again when whoever held the lock before has removed it."""
    while True:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o755)
        try:
            descriptor = _lock(folder)
        except FileNotFoundError:
            continue
        # A removed folder has no links left, whatever stands in its place by now.
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)


def _overwrite(path: Path, text: str) -> None:
    """Write a file without emptying it first: on a full disk the others keep their lines."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o644), "w") as stream:
        stream.write(text)
        stream.truncate()


def write_atomically(path: Path, text: str) -> None:
    """Write a whole file or none of it, and make it last over a power cut."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with scratch.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    scratch.replace(path)
