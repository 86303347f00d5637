"""Saying what went wrong: the class, a sentence, the evidence, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from savanna_cli import output
from savanna_kit import errors

if TYPE_CHECKING:
    from rich.console import Console

    from savanna.operation.v1.operation_pb2 import Failure
    from savanna_cli.documents import Document
    from savanna_kit.errors import FieldViolation

FAILED, USAGE, NOT_FOUND, NO_ENTRY, INTERRUPTED = 1, 2, 3, 4, 130

UNREACHABLE = "UNREACHABLE"
"""Reason of the client's error when nobody answered at all."""

_CODES: tuple[tuple[type[errors.SavannaError], int], ...] = (
    (errors.NotFound, NOT_FOUND),
    (errors.Unavailable, NO_ENTRY),
    (errors.DeadlineExceeded, NO_ENTRY),
    (errors.Unauthenticated, NO_ENTRY),
    (errors.PermissionDenied, NO_ENTRY),
    (errors.InvalidArgument, USAGE),
    (errors.AlreadyExists, USAGE),
    (errors.FailedPrecondition, USAGE),
    (errors.ResourceExhausted, USAGE),
    (errors.Unimplemented, USAGE),
)


class Refusal(Exception):
    """What the user asked for can not be done; the text says why and what to do."""


class FileRefused(Exception):
    """Savanna refused what a file says; the error tells the fields, the document their lines."""

    def __init__(self, error: errors.InvalidArgument, document: Document) -> None:
        super().__init__(str(error))
        self.error = error
        self.document = document


def exit_code(error: errors.SavannaError) -> int:
    """Give the exit code for an error."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)


def tell_error(to: Console, error: errors.SavannaError, document: Document | None = None) -> None:
    """Say why a call failed, with file and line when a file was to blame."""
    if not error.violations:
        _tell(to, error.message)
        for line in _advice(error):
            to.print(f"  {line}")
        return
    _tell(to, "this was refused; nothing was stored or changed")
    for each in error.violations:
        _tell_violation(to, each, document)


def tell(to: Console, message: str) -> None:
    """Say why the command ends."""
    _tell(to, message)


def tell_failure(to: Console, failure: Failure, following: str) -> None:
    """Show the evidence of a failure and the command to type next."""
    first, *more = failure.message.splitlines() or [""]
    to.print(Text.assemble("  ", (failure.reason or "FAILED", "red"), f"  {first}"))
    for line in more:
        to.print(f"    {line}")
    to.print()
    tail = failure.output_tail.rstrip("\n")
    pairs: list[tuple[str, str | Text]] = [
        ("host", failure.instance),
        ("command", failure.command),
        ("exit code", str(failure.exit_code) if failure.HasField("exit_code") else ""),
        ("last lines", "" if tail in failure.message else tail),
        ("next", Text(following, style="bold")),
    ]
    output.show(to, output.facts(pairs, indent=2))


def _tell(to: Console, message: str) -> None:
    first, _, rest = message.partition("\n")
    to.print(Text.assemble(("savanna: ", "red"), first))
    for line in rest.splitlines():
        to.print(f"  {line}")


def _tell_violation(to: Console, violation: FieldViolation, document: Document | None) -> None:
    first, *hints = violation.message.splitlines() or [""]
    if document is not None:
        place, field = document.place_of(violation.field)
        head = f"{place}: {field}" if field else place
    else:
        head = violation.field
    to.print(Text.assemble("  ", (head, "bold"), ": " if head else "", first))
    for hint in hints:
        to.print(f"    {hint}")


def _advice(error: errors.SavannaError) -> list[str]:
    if isinstance(error, errors.Unavailable) and error.reason == UNREACHABLE:
        return [
            "Start it with 'savanna-all', or say where it is: --address HOST:PORT,",
            "SAVANNA_ADDRESS, or 'address:' in ~/.config/savanna/config.yaml.",
        ]
    if isinstance(error, errors.Unauthenticated):
        return [
            "Give a token: --token TOKEN, SAVANNA_TOKEN, or 'token:' in the configuration file."
        ]
    return []
