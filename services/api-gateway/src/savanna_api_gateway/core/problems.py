"""What is wrong with a request, gathered field by field, in the words that Sahara's users know."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Reason(StrEnum):
    """Classes of problems; part of the wire of REST (``error_name``)."""

    INVALID_REFERENCE = "INVALID_REFERENCE"
    INVALID_DATA = "INVALID_DATA"
    NOT_FOUND = "NOT_FOUND"
    NAME_ALREADY_EXISTS = "NAME_ALREADY_EXISTS"
    UPDATE_FAILED = "UPDATE_FAILED"
    DELETION_FAILED = "DELETION_FAILED"
    CANCELING_FAILED = "CANCELING_FAILED"
    QUOTA_ERROR = "QUOTA_ERROR"
    BAD_JOB_BINARY = "BAD_JOB_BINARY"
    DATA_TOO_BIG = "DATA_TOO_BIG"
    IMAGE_NOT_REGISTERED = "IMAGE_NOT_REGISTERED"
    NOT_IMPLEMENTED = "NOT_IMPLEMENTED"


class Problems:
    """Gathers what is wrong; the first one gives REST its error name."""

    def __init__(self) -> None:
        self._violations: list[errors.FieldViolation] = []

    def add(self, field: str, reason: Reason, message: str, hint: str = "") -> None:
        """Note a problem: path of the field, what is wrong, and in its own line what to do."""
        text = f"{message}\n{hint}" if hint else message
        self._violations.append(errors.FieldViolation(field, text, reason.value))

    def extend(self, violations: Iterable[errors.FieldViolation]) -> None:
        """Note what someone else found."""
        self._violations.extend(violations)

    def __bool__(self) -> bool:
        return bool(self._violations)

    def raise_any(self) -> None:
        """Raise ``InvalidArgument`` if anything is wrong."""
        if self._violations:
            raise refusal(self._violations)


def refusal(violations: Sequence[errors.FieldViolation]) -> errors.InvalidArgument:
    """Give the error for a request with these problems."""
    sentence = "; ".join(
        f"{each.field}: {_one_line(each.message)}" if each.field else _one_line(each.message)
        for each in violations
    )
    return errors.InvalidArgument(sentence, reason=violations[0].reason, violations=violations)


def one(field: str, reason: Reason, message: str, hint: str = "") -> errors.InvalidArgument:
    """Give the error for a request with one problem."""
    text = f"{message}\n{hint}" if hint else message
    return refusal([errors.FieldViolation(field, text, reason.value)])


def known(values: Iterable[str], *, what: str) -> str:
    """Say which values there are, as a hint."""
    listed = sorted(values)
    return f"Known {what}: {', '.join(listed)}" if listed else f"There are no {what}"


def _one_line(text: str) -> str:
    return ". ".join(each.rstrip(".") for each in text.splitlines())
