"""Files as arguments of commands, and refusals that name their lines."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from savanna_cli.failures import FileRefused
from savanna_kit import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from savanna_cli.documents import Document


class ReadableFile(click.Path):
    """A file that is there."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True, path_type=Path)


@contextmanager
def reading(document: Document) -> Iterator[None]:
    """Blame a refusal of what was read on the file and its lines."""
    try:
        yield
    except errors.InvalidArgument as error:
        if not error.violations:
            raise
        raise FileRefused(error, document) from error
