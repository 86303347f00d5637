"""The SSH server of a host: its files, and what it gives to those who log in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna_engine.cloud.local.marks import CLOUD_MARK, HOST_MARK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from savanna_engine.cloud.base import ServerOrder

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class SshdPlace:
    """Where an SSH server listens and finds its files, as seen by itself."""

    folder: str
    port: int
    listen: str = ""
    home: str = ""
    """Home of those who log in, when it is not the account's own."""


def write_files(
    folder: Path, order: ServerOrder, place: SshdPlace, environment: Mapping[str, str]
) -> None:
    """Write keys and configuration under ``folder``/etc."""
    etc = folder / "etc"
    etc.mkdir(exist_ok=True, mode=0o755)
    write_private(etc / "host_key", order.host_key)
    write_private(etc / "authorized_keys", order.authorized_key.strip() + "\n")
    os.chmod(etc / "authorized_keys", 0o644)
    (etc / "sshd_config").write_text(configuration(place, environment))


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text if text.endswith("\n") else text + "\n")


def configuration(place: SshdPlace, environment: Mapping[str, str]) -> str:
    """Render sshd_config(5): keys only, no look-ups, no banners, many hand-shakes at once."""
    lines = [
        f"Port {place.port}",
        *([f"ListenAddress {place.listen}"] if place.listen else []),
        f"HostKey {place.folder}/etc/host_key",
        f"AuthorizedKeysFile {place.folder}/etc/authorized_keys",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "UsePAM no",
        "UseDNS no",
        "StrictModes no",
        "PrintMotd no",
        "PrintLastLog no",
        "MaxStartups 200",
        "MaxSessions 100",
        "PidFile none",
    ]
    values = dict(environment)
    if place.home:
        values["HOME"] = place.home
    pairs = " ".join(f'"{name}={value}"' for name, value in sorted(values.items()))
    return "\n".join([*lines, f"SetEnv {pairs}"]) + "\n"


def login_environment(
    *, cloud_id: str, instance_id: str, spark_home: str, python: str, java_home: str
) -> dict[str, str]:
    """What every command on a host finds in its environment, the marks of its processes among
    it."""
    values = {
        CLOUD_MARK: cloud_id,
        HOST_MARK: instance_id,
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
    }
    if spark_home:
        values["SAVANNA_SPARK_HOME"] = spark_home
    if python:
        values["PYSPARK_PYTHON"] = python
    if java_home:
        values["JAVA_HOME"] = java_home
    return values
