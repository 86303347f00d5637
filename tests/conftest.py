"""What all tests share."""

from __future__ import annotations

import structlog

from tests.databases import database_url, postgresql_server

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
