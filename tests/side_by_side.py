"""Which tests may run side by side when several workers share them out.

Workers take whole groups, in the order in which pytest collected them. What shares a mesh or the
machine's own network, users and memory stays together, and begins first because it lasts longest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

_GROUPS = {
    "hosts of this machine": (
        "tests/spark/",
        "tests/e2e/test_nothing_left.py",
        "tests/e2e/test_savanna_all.py",
        "tests/e2e/test_demo.py",
        "tests/e2e/test_lacking_programs.py",
        "tests/conformance/test_clouds.py",
    ),
    "the shared mesh": (
        "tests/e2e/test_bad_hosts.py",
        "tests/e2e/test_hundred_nodes.py",
        "tests/e2e/test_killed_engines.py",
        "tests/e2e/test_metrics.py",
        "tests/e2e/test_one_trace.py",
        "tests/e2e/test_orphans.py",
        "tests/e2e/test_status.py",
    ),
}


def group_of(path: str) -> str:
    """Name the group of a test file; most files are a group of their own."""
    for name, beginnings in _GROUPS.items():
        if path.startswith(beginnings):
            return name
    return path


def longest_first(items: list[pytest.Item], root: Path) -> list[pytest.Item]:
    """Put the groups that last longest first, and leave all else in its order."""
    order = {name: place for place, name in enumerate(_GROUPS)}

    def rank(item: pytest.Item) -> int:
        return order.get(group_of(item.path.relative_to(root).as_posix()), len(order))

    return sorted(items, key=rank)


class ByGroup(LoadScopeScheduling):
    """Hands whole groups to workers."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])
