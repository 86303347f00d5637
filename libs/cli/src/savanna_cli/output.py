"""Showing things: tables for people; JSON and YAML, in the contract's own words, for programs."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import yaml
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from google.protobuf.message import Message
    from rich.console import RenderableType

# A file has no edge: nothing is wrapped or cut that a search should find.
_WIDTH_OF_FILES = 10_000


class Form(StrEnum):
    """How something is shown."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


def console(stream: TextIO) -> Console:
    """Make a console that writes text as it is: no markup, no guessed colours."""
    made = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = _WIDTH_OF_FILES
    return made


def as_data(message: Message) -> dict[str, Any]:
    """Give a message in its JSON form, with the contract's names and every plain field, so that
    programs find the same names each time."""
    data: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return data


def show_data(to: Console, form: Form, data: object) -> None:
    """Write data as JSON or YAML."""
    if form is Form.JSON:
        text = json.dumps(data, indent=2, ensure_ascii=False)
    else:
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1000).rstrip()
    to.file.write(text + "\n")


def show_table(to: Console, heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """Write a table: heads, rows, nothing else."""
    table = grid(*heads)
    for row in rows:
        table.add_row(*(each if isinstance(each, Text) else Text(each) for each in row))
    show(to, table)


def grid(*heads: str) -> Table:
    """Begin a table without lines; without heads it only aligns."""
    table = Table(
        box=None, show_header=bool(heads), pad_edge=False, padding=(0, 3, 0, 0), header_style="bold"
    )
    for head in heads:
        table.add_column(head.upper(), overflow="fold")
    return table


def show(to: Console, what: RenderableType) -> None:
    """Write something without blanks at the ends of its lines."""
    with to.capture() as captured:
        to.print(what)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    to.file.write("\n".join(lines) + "\n")


def facts(pairs: Iterable[tuple[str, str | Text]], *, indent: int = 0) -> Table:
    """Give names and values, one pair a line; empty values are left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        if value:
            shown = value if isinstance(value, Text) else Text(value)
            table.add_row(Text(" " * indent + name), shown)
    return table
