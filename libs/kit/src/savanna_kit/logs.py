"""Logs: events with values, one pipeline for Savanna's own and for libraries' records."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog
from opentelemetry import trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from structlog.typing import EventDict, FilteringBoundLogger, Processor


_CHATTY = ("paramiko", "asyncio", "httpx", "alembic", "fabric", "invoke", "uvicorn")
"""Libraries of which only warnings are of interest."""


def get_logger(name: str) -> FilteringBoundLogger:
    """Give the logger of a module.

    Events are names in snake_case; what belongs to them are keyword values.
    """
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def configure(*, level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set logging up for this process: ``form`` is "json", "console" or "auto" (console on a
    terminal)."""
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(shared, console=console))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _formatter(
    shared: Sequence[Processor], *, console: bool
) -> structlog.stdlib.ProcessorFormatter:
    renderer: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
    )


def bind(**values: str | int) -> None:
    """Add values to every event of the running task and all it calls."""
    structlog.contextvars.bind_contextvars(**values)


def _add_trace(logger: object, method: str, event: EventDict) -> EventDict:
    del logger, method
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = format(context.trace_id, "032x")
    return event
