"""Which tests may run side by side when several workers share them out.

Workers take whole groups, in the order in which pytest collected them. What shares a mesh or the
machine's own network, users and memory stays together, and begins first because it lasts longest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

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
        "tests/e2e/test_one_trace.py",
    ),
}


def group_of(path: str) -> str:
    """Name the group of a test file; most files are a group of their own."""
    for name, beginnings in _GROUPS.items():
        if path.startswith(beginnings):
            return name
    return path


def grouped(items: list[pytest.Item], root: Path) -> list[pytest.Item]:
    """Mark each test with its group, and put the groups that last longest first."""
    order = {name: place for place, name in enumerate(_GROUPS)}
    groups = [group_of(item.path.relative_to(root).as_posix()) for item in items]
    for item, group in zip(items, groups, strict=True):
        item.add_marker(pytest.mark.xdist_group(group))
    ranks = [order.get(group, len(order)) for group in groups]
    return [item for _, item in sorted(zip(ranks, items, strict=True), key=lambda pair: pair[0])]
