"""What went wrong, in the bodies that Sahara's clients read.

Pure functions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna_api_gateway.rest.schemas import Json


@dataclass(frozen=True)
class Failure:
    """An answer that says what went wrong."""

    status: int
    body: Mapping[str, Json]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Class:
    status: int
    name: str
    """The name on the wire when the error gives none of Sahara's."""


# Sahara answers nearly every refusal with 400, also those that HTTP has better codes for.
_CLASSES: dict[type[errors.SavannaError], _Class] = {
    errors.InvalidArgument: _Class(400, "INVALID_DATA"),
    errors.FailedPrecondition: _Class(400, "INVALID_REFERENCE"),
    errors.AlreadyExists: _Class(400, "NAME_ALREADY_EXISTS"),
    errors.ResourceExhausted: _Class(400, "QUOTA_ERROR"),
    errors.Unimplemented: _Class(400, "NOT_IMPLEMENTED"),
    errors.NotFound: _Class(404, "NOT_FOUND"),
    errors.Unauthenticated: _Class(401, "UNAUTHENTICATED"),
    errors.PermissionDenied: _Class(403, "FORBIDDEN"),
    errors.Aborted: _Class(409, "UPDATE_FAILED"),
    errors.Unavailable: _Class(503, "UNAVAILABLE"),
    errors.DeadlineExceeded: _Class(504, "TIMEOUT"),
}
_FAULT = _Class(500, "INTERNAL_SERVER_ERROR")
_OWN_NAMES = frozenset(
    (
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
        "ALREADY_EXISTS",
        "RESOURCE_EXHAUSTED",
        "UNIMPLEMENTED",
        "ABORTED",
        "PERMISSION_DENIED",
        "DEADLINE_EXCEEDED",
    )
)
"""Names that errors have when nobody gave them one: not words of the wire."""


def failure_of(error: errors.SavannaError, error_id: str) -> Failure:
    """Say an error on the wire; ``error_id`` is what its story in the log can be found by."""
    kind = _CLASSES.get(type(error), _FAULT)
    if kind is _FAULT:
        return fault(error_id)
    known = error.reason and error.reason not in _OWN_NAMES and kind.status != 404
    name = error.reason if known else kind.name
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    text = f"{_text(error)}\nError ID: {error_id}"
    return Failure(kind.status, _body(kind.status, name, text), headers)


def fault(error_id: str) -> Failure:
    """Say that something unforeseen happened, and nothing of what it was."""
    text = f"Internal Server Error\nError ID: {error_id}"
    return Failure(_FAULT.status, _body(_FAULT.status, _FAULT.name, text))


def unrouted(status: int, text: str, headers: Mapping[str, str] | None = None) -> Failure:
    """Say that no route leads there: 404 or 405, with the key that Sahara uses for these alone."""
    return Failure(status, {"error": status, "error_message": text}, headers or {})


def refused_version(status: int, name: str, text: str, least: str, most: str) -> Failure:
    """Say that a microversion can not be served, and which can."""
    body = {**_body(status, name, text), "max_version": most, "min_version": least}
    return Failure(status, body)


def _body(status: int, name: str, text: str) -> dict[str, Json]:
    return {"error_code": status, "error_message": text, "error_name": name}


def _text(error: errors.SavannaError) -> str:
    if isinstance(error, errors.NotFound) and error.metadata:
        return f"Object with {dict(error.metadata)} not found\n{error.message}"
    if not error.violations:
        return error.message
    return "\n".join(_line(each) for each in error.violations)


def _line(violation: errors.FieldViolation) -> str:
    # Sahara's words come first, alone on their line, because scripts compare them.
    where = _MESSAGE_ONLY.sub("", violation.field)
    return f"{violation.message}\nField: {where}" if where else violation.message


_MESSAGE_ONLY = re.compile(r"\bspec\.")
"""A level of messages that JSON does not have."""
