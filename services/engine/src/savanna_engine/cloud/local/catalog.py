"""What the local cloud offers: sizes, images, one network, and how much of this machine may be
promised."""

from __future__ import annotations

import importlib.util
import os
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.cluster.v1 import cloud_pb2

if TYPE_CHECKING:
    from collections.abc import Sequence

NETWORK_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "savanna:local:network"))
SPARK_IMAGE_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "savanna:local:image:spark-4"))
PLAIN_IMAGE_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "savanna:local:image:plain"))
MAX_HOSTS = 250
"""One /24 network for each cloud, without its own address, the bridge's and the broadcast's."""

_PROMISED_SHARE_OF_MEMORY = 0.9
_FLAVORS = {
    "1": cloud_pb2.Flavor(id="1", name="host.tiny", vcpus=1, ram=64, disk=1),
    "2": cloud_pb2.Flavor(id="2", name="host.small", vcpus=1, ram=1024, disk=10),
    "3": cloud_pb2.Flavor(id="3", name="host.medium", vcpus=2, ram=2048, disk=20),
    "4": cloud_pb2.Flavor(id="4", name="host.large", vcpus=2, ram=4096, disk=40),
}


@dataclass(frozen=True)
class Distribution:
    """An unpacked Spark on this machine, and the Python that its programs use."""

    home: Path
    version: str
    python_prefix: Path

    @property
    def short_version(self) -> str:
        """The version as users write it, for example "4.3"."""
        return ".".join(self.version.split(".")[:2])


def find_distribution() -> Distribution | None:
    """Find the Spark distribution that the wheel ``pyspark`` unpacked; None when it is not
    installed."""
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        return None
    home = Path(spec.origin).parent
    version = ""
    for line in (home / "version.py").read_text().splitlines():
        if line.startswith("__version__"):
            version = line.partition("=")[2].split("#")[0].strip().strip("\"'")
    return Distribution(home, version, Path(sys.base_prefix).resolve())


def flavor(flavor_id: str) -> cloud_pb2.Flavor | None:
    """Look a size up."""
    return _FLAVORS.get(flavor_id)


def promised_memory(flavor_ids: Sequence[str]) -> int:
    """Memory in MiB that hosts of these sizes were promised."""
    return sum(_FLAVORS[each].ram for each in flavor_ids if each in _FLAVORS)


def memory_limit() -> int:
    """Memory in MiB that may be promised in all: nine tenths of this machine's."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return int(total * _PROMISED_SHARE_OF_MEMORY)


def catalog(
    flavor_ids: Sequence[str],
    *,
    memory: int,
    username: str,
    distribution: Distribution | None,
) -> cloud_pb2.CloudCatalog:
    """Say what is offered, given the sizes of the hosts that exist and the MiB for all of them."""
    return cloud_pb2.CloudCatalog(
        cloud="local",
        flavors=_FLAVORS.values(),
        images=_images(username, distribution),
        networks=[cloud_pb2.Network(id=NETWORK_ID, name="local")],
        availability_zones=["local"],
        quotas=[
            cloud_pb2.Quota(name="instances", limit=MAX_HOSTS, used=len(flavor_ids)),
            cloud_pb2.Quota(name="ram", limit=memory, used=promised_memory(flavor_ids)),
        ],
    )


def _images(username: str, distribution: Distribution | None) -> list[cloud_pb2.Image]:
    plain = cloud_pb2.Image(
        id=PLAIN_IMAGE_ID,
        name="plain",
        username=username,
        description="This machine's own programs",
        tags=["fake", "0.1"],
        status="ACTIVE",
    )
    if distribution is None:
        return [plain]
    spark = cloud_pb2.Image(
        id=SPARK_IMAGE_ID,
        name="spark-4",
        username=username,
        description=f"Apache Spark {distribution.version}, read-only",
        tags=["spark", distribution.short_version],
        status="ACTIVE",
    )
    return [plain, spark]
