"""YAML files whose every value knows its line, so that a mistake is named by the place where it
stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Place = tuple[str | int, ...]
"""Names and numbers that lead from the top of a file to a value."""


class DocumentError(Exception):
    """A file that can not be used; each line of the text names file, line, mistake and remedy."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong at a place, and what to do about it."""

    place: Place
    text: str


@dataclass
class Document:
    """A file that was read."""

    file: str
    content: Any = None
    lines: dict[Place, int] = field(default_factory=dict)

    def line_of(self, place: Place) -> int:
        """Give the line of a value, or of the nearest one around it that is written."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)

    def error(self, mistakes: Sequence[Mistake]) -> DocumentError:
        """Give the error that names all mistakes, in the order of their lines."""
        told = [(self.line_of(each.place), each.text) for each in mistakes]
        texts = [f"{self.file}:{line}: {text}" for line, text in sorted(told)]
        return DocumentError("\n".join(dict.fromkeys(texts)))


def read(path: Path) -> Document:
    """Read a YAML file.

    Raises ``DocumentError`` when there is none, when it is no YAML, and for a name that is written
    twice.
    """
    document = Document(str(path))
    try:
        root = yaml.compose(path.read_text(), Loader=yaml.SafeLoader)
        if root is not None:
            document.content = _Reader(document).value(root, ())
    except FileNotFoundError as error:
        raise DocumentError(f"{path}: there is no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DocumentError(f"{path}: can not be read: {error}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error)
        raise DocumentError(f"{path}{line}: is not YAML: {what}") from error
    if root is None:
        raise DocumentError(f"{path}: is empty; describe the services of the mesh")
    return document


class _Reader:
    """Turns a YAML tree into plain values, and notes their lines."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._plain = yaml.SafeLoader("")

    def value(self, node: yaml.Node, place: Place) -> Any:  # noqa: ANN401 - whatever is written
        """Give the value of a node."""
        self._document.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(each, (*place, at)) for at, each in enumerate(node.value)]
        return self._plain.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise DocumentError(f"{self._document.file}:{line}: a name must be plain text")
            inner = (*place, key.value)
            if key.value in values:
                before = self._document.lines[inner]
                raise DocumentError(
                    f"{self._document.file}:{line}: '{key.value}' is written twice, first in line "
                    f"{before}: remove one"
                )
            self._document.lines[inner] = line
            values[key.value] = self.value(value, inner)
        return values
