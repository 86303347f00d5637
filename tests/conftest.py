"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from tests.databases import database_url, postgresql_server
from tests.side_by_side import ByGroup, longest_first

if TYPE_CHECKING:
    import pytest

__all__ = ["database_url", "postgresql_server"]

# A failure inside a server is read in the test's output: plain lines, nothing drawn.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what lasts longest."""
    items[:] = longest_first(items, config.rootpath)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByGroup:
    """Say which tests may run side by side."""
    return ByGroup(config, log)
