"""The local cloud's nine verbs, over hosts on this machine.

They outlive engines and are found again by their files.
"""

from __future__ import annotations

import errno
import shutil
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_engine.cloud.base import Server, ServerStatus
from savanna_engine.cloud.errors import (
    CloudError,
    CloudRefused,
    CloudUnavailable,
    QuotaExceeded,
)
from savanna_engine.cloud.local import catalog, marks
from savanna_engine.cloud.local.hosts import choose_hosts
from savanna_engine.cloud.local.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from savanna.cluster.v1 import cloud_pb2
    from savanna_engine.cloud.base import ClusterOrder, ServerOrder
    from savanna_engine.cloud.local.records import HostRecord

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalCloud:
    """Hosts on this machine.

    Several engines may share one folder; several folders may share one machine. ``memory`` is what
    may be promised to hosts, in MiB; None promises nine tenths of this machine's. ``namespace`` is
    the path of the network namespace that joins the hosts, "" for this process's own.
    """

    name = "local"

    def __init__(
        self, root: Path, *, hosts: str = "auto", memory: int | None = None, namespace: str = ""
    ) -> None:
        self._memory = catalog.memory_limit() if memory is None else memory
        self._records = Records(root)
        self._distribution = catalog.find_distribution()
        self._maker = choose_hosts(hosts, self._records, self._distribution, namespace)

    def catalog(self, project_id: str) -> cloud_pb2.CloudCatalog:
        """Say what is offered; the same to every project."""
        del project_id
        return catalog.catalog(
            [each.flavor_id for each in self._records.reservations()],
            memory=self._memory,
            username=self._maker.username,
            distribution=self._distribution,
        )

    def prepare_cluster(self, order: ClusterOrder) -> None:
        """Do nothing: hosts share only the bridge, which the first of them makes."""

    def remove_cluster(self, cluster_id: str) -> None:
        """Remove the shared hosts file, and the bridge with the last host of all."""
        self._records.forget_cluster(cluster_id)
        self._maker.clean_cloud()

    def create_server(self, order: ServerOrder) -> Server:
        """Make a host, or find the one of this instance id; what an interrupted make left is
        removed first."""
        with _room(self._records.root), self._records.begun(order.instance_id) as folder:
            record = self._records.read(order.instance_id)
            if record is not None and _alive(record):
                return self._server(record)
            if any(folder.iterdir()):
                # Files come before processes and go after them: an empty folder has neither.
                self._clean(order.instance_id)
            try:
                number = self._reserve(order)
            except CloudError:
                # What was refused must not look like a host whose making was cut off.
                folder.rmdir()
                raise
            record = self._maker.make(order, number)
            self._records.write(record)
            return self._server(record)

    def find_servers(self, *, instance_id: str = "", cluster_id: str = "") -> Sequence[Server]:
        """List hosts by their folders; one without a record has lost its maker and shows as an
        error."""
        ids = [instance_id] if instance_id else self._records.instance_ids()
        found = []
        for each in ids:
            server = self._find(each)
            if server is not None and cluster_id in ("", server.cluster_id):
                found.append(server)
        return found

    def get_server(self, provider_id: str) -> Server | None:
        """Read one host; its instance id is its provider id."""
        # An id that people type may not even be the name of a file.
        return self._find(provider_id) if provider_id in self._records.instance_ids() else None

    def delete_server(self, instance_id: str) -> bool:
        """End all processes of a host, then remove its link, its address and its folder."""
        if not instance_id:
            return True
        # Also where no folder is: without the lock, a host that is just being made would lose
        # what it has already.
        with self._records.begun(instance_id) as folder:
            self._clean(instance_id)
            shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    def delete_copy(self, provider_id: str) -> bool:
        """Remove a host; an instance never has two."""
        return self.delete_server(provider_id)

    def purge(self) -> int:
        """Remove every host that this folder ever made; gives how many.

        For the end of a data directory.
        """
        ids = self._records.instance_ids()
        for each in ids:
            self.delete_server(each)
        if not marks.end_marked(marks.CLOUD_MARK, self._records.cloud_id):
            raise CloudUnavailable("some processes of local hosts do not end: try again")
        shutil.rmtree(self._records.clusters, ignore_errors=True)
        self._maker.clean_cloud()
        shutil.rmtree(self._records.root, ignore_errors=True)
        return len(ids)

    def close(self) -> None:
        """Do nothing: there are no connections."""

    def _find(self, instance_id: str) -> Server | None:
        record = self._records.read(instance_id)
        if record is not None:
            return self._server(record)
        exists = self._records.folder(instance_id).exists()
        return self._unfinished(instance_id) if exists else None

    def _clean(self, instance_id: str) -> None:
        if not marks.end_marked(marks.HOST_MARK, instance_id):
            raise CloudUnavailable(f"processes of host {instance_id} do not end: try again")
        self._maker.clean(instance_id)
        self._records.release(instance_id)
        folder = self._records.folder(instance_id)
        if folder.exists():
            for child in folder.iterdir():
                shutil.rmtree(child) if child.is_dir() else child.unlink()

    def _reserve(self, order: ServerOrder) -> int:
        """Reserve an address and memory; both at once, for others reserve at the same time."""
        flavor = catalog.flavor(order.flavor_id)
        if flavor is None:
            raise CloudRefused(
                f"flavor '{order.flavor_id}' does not exist on the local cloud: choose 1, 2, 3 or 4"
            )
        if order.image_id not in (catalog.PLAIN_IMAGE_ID, catalog.SPARK_IMAGE_ID):
            raise CloudRefused(f"image '{order.image_id}' does not exist on the local cloud")

        def check(others: Sequence[str]) -> None:
            promised = catalog.promised_memory(others)
            if promised + flavor.ram > self._memory:
                raise QuotaExceeded(
                    f"the local cloud has promised {promised} of {self._memory} MiB: "
                    f"{flavor.ram} MiB for {order.name} do not fit; "
                    "delete a cluster or take a smaller flavor"
                )

        try:
            return self._records.reserve(order, first=2, last=catalog.MAX_HOSTS + 1, check=check)
        except LookupError as error:
            raise QuotaExceeded(f"{error}: delete a cluster first") from error

    def _server(self, record: HostRecord) -> Server:
        alive = _alive(record)
        return Server(
            provider_id=record.instance_id,
            instance_id=record.instance_id,
            cluster_id=record.cluster_id,
            name=record.name,
            status=ServerStatus.RUNNING if alive else ServerStatus.ERROR,
            internal_ip=record.address,
            management_ip=record.address,
            ssh_port=record.port,
            ssh_user=record.user,
            host_public_key=record.host_public_key,
            fault="" if alive else "the first process of the host is gone",
            project_id=record.project_id,
            deployment_id=record.deployment_id,
            made_at=_moment(record.made_at),
        )

    def _unfinished(self, instance_id: str) -> Server:
        reserved = next(
            (each for each in self._records.reservations() if each.instance_id == instance_id), None
        )
        return Server(
            provider_id=instance_id,
            instance_id=instance_id,
            cluster_id=reserved.cluster_id if reserved else "",
            name="",
            status=ServerStatus.ERROR,
            fault="its making was cut off",
            deployment_id=reserved.deployment_id if reserved else "",
            made_at=_moment(reserved.made_at) if reserved else None,
        )


@contextmanager
def _room(root: Path) -> Iterator[None]:
    """Say what to do about a full disk; what was begun there is removed by the next try, or by the
    host's end."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise CloudUnavailable(
            f"the disk of the local cloud's folder {root} is full: make room on it, then try again"
        ) from error


def _alive(record: HostRecord) -> bool:
    return marks.start_time(record.pid) == record.started


def _moment(seconds: float) -> datetime | None:
    """Give a time; None for 0, which earlier versions stand for."""
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def purge(root: Path) -> int:
    """Remove every host that the local cloud in this folder ever made; 0 when there never was
    one."""
    if not Path(root, "cloud-id").exists():
        return 0
    return LocalCloud(root).purge()
