"""What the hosts of one data directory put on this machine, found by Savanna's own marks and, so
that the marks are not trusted alone, by the namespaces that the hosts had."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_engine.cloud.local import marks, network

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = ("net", "pid", "uts", "mnt")
_USER_ID = 64100
"""The user whom hosts with namespaces have."""


class Trail:
    """The trail of a local cloud in a folder.

    ``follow`` notes what there is while there is something; ``found`` lists what is there now,
    also what lies about in shared folders and belongs to the user of the hosts.
    """

    def __init__(self, root: Path, user_id: int = _USER_ID) -> None:
        self._root = root
        self._user_id = user_id
        self._cloud_id = (root / "cloud-id").read_text()
        self._links = {f"sv{self._cloud_id}"}
        self._namespaces: set[str] = set()
        self._followed = 0

    def follow(self) -> Trail:
        """Note links and namespaces of the hosts that there are."""
        self._links |= {network.link_name(each.name) for each in (self._root / "hosts").iterdir()}
        ours = set(namespaces_of("self"))
        for pid in marks.marked(marks.CLOUD_MARK, self._cloud_id):
            self._namespaces |= set(namespaces_of(str(pid))) - ours
            self._followed = max(self._followed, marks.start_time(pid))
        return self

    def found(self) -> list[str]:
        """List everything that is there, a line each; the first word says what it is."""
        return sorted({*self._processes(), *self._network(), *self._mounts(), *self._files()})

    def kinds(self) -> set[str]:
        """Say which kinds of things are there."""
        return {each.split()[0] for each in self.found()}

    def _processes(self) -> Iterator[str]:
        for pid in marks.marked(marks.CLOUD_MARK, self._cloud_id):
            yield f"process {pid} {command_of(pid)}"
        for pid in _pids():
            # The number of a namespace that is gone is given to the next one: to another cloud's.
            if marks.start_time(pid) > self._followed:
                continue
            for namespace in namespaces_of(str(pid)):
                if namespace in self._namespaces:
                    yield f"namespace {namespace} of {pid} {command_of(pid)}"

    def _network(self) -> Iterator[str]:
        for link in Path("/sys/class/net").iterdir():
            bridge = os.path.realpath(link / "master").rpartition("/")[2]
            if link.name in self._links or bridge in self._links:
                yield f"link {link.name}"
        for name in _listed(Path("/run/netns")):
            if f"net:[{name.stat().st_ino}]" in self._namespaces:
                yield f"namespace {name}"

    def _mounts(self) -> Iterator[str]:
        for pid in _pids():
            try:
                lines = Path("/proc", str(pid), "mountinfo").read_text().splitlines()
            except OSError:
                continue
            for line in lines:
                if str(self._root) in line:
                    yield f"mount {line.split()[4]}"

    def _files(self) -> Iterator[str]:
        for name in ("hosts", "clusters", "addresses"):
            for each in _listed(self._root / name):
                yield f"file {each}"
        if (self._root / "network.json").exists():
            yield f"file {self._root / 'network.json'}"
        for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run"):
            for each in _listed(Path(folder)):
                if self._cloud_id in each.name or owner_of(each) == self._user_id:
                    yield f"file {each}"


def command_of(pid: int) -> str:
    """Give the command line of a process; empty when it is gone."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def namespaces_of(pid: str) -> list[str]:
    """List the namespaces of a process, such as "net:[4026531840]"."""
    try:
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in _KINDS]
    except OSError:
        return []


def owner_of(path: Path) -> int:
    """Give the user id of a file's owner; -1 when it is gone."""
    try:
        return path.lstat().st_uid
    except OSError:
        return -1


def _pids() -> list[int]:
    return [int(each) for each in os.listdir("/proc") if each.isdigit()]


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
