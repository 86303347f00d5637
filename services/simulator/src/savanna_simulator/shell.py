"""The simulated shell: reads a script once and knows at once when it says what, and how it ends.

It acts on the lines ``sleep S``, ``echo TEXT`` and ``exit CODE``, and passes over all others. Names
of the environment are put in as a shell would; one that is unset is empty. Standard error is not
kept apart: all that is said goes to the output.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS_IN = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME = re.compile(r"([0-9]*\.?[0-9]+)([smhd]?)")
_PIECE = re.compile(
    r"'(?P<single>[^']*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|\$\{(?P<braced>\w+)\}|\$(?P<plain>[A-Za-z_]\w*)"
    r"|\\(?P<escaped>.)"
    r"|(?P<blank>\s+)"
)


@dataclass(frozen=True)
class Outcome:
    """How a script goes: what it has said after which seconds, and how and when it ends."""

    seconds: float
    exit_code: int
    said: tuple[tuple[float, bytes], ...] = ()

    def changed(self, *, slowness: float, exit_code: int | None) -> Outcome:
        """Give the same outcome on a slower host, with another exit code if one is given."""
        return Outcome(
            self.seconds * slowness,
            self.exit_code if exit_code is None else exit_code,
            tuple((at * slowness, text) for at, text in self.said),
        )


def interpret(script: str, environment: Mapping[str, str]) -> Outcome:
    """Read a script."""
    seconds = 0.0
    said = []
    for line in script.splitlines():
        word, _, rest = line.strip().partition(" ")
        text = _expand(rest.strip(), environment)
        if word == "sleep":
            seconds += _seconds(text)
        elif word == "echo":
            said.append((seconds, f"{text}\n".encode()))
        elif word == "exit":
            return Outcome(seconds, int(text) % 256 if text.isdecimal() else 0, tuple(said))
    return Outcome(seconds, 0, tuple(said))


def _seconds(text: str) -> float:
    parts = [_TIME.fullmatch(each) for each in text.split()]
    return math.fsum(float(each[1]) * _SECONDS_IN[each[2]] for each in parts if each)


def _expand(text: str, environment: Mapping[str, str]) -> str:
    """Put values in and take quotes off."""

    def put(piece: re.Match[str]) -> str:
        kind = piece.lastgroup or ""
        found = piece[kind]
        if kind in ("braced", "plain"):
            return environment.get(found, "")
        if kind == "double":
            return _NAME_INSIDE.sub(lambda name: _inside(name, environment), found)
        return " " if kind == "blank" else found

    return _PIECE.sub(put, text)


_NAME_INSIDE = re.compile(r'\\(?P<escaped>["\\$`])|\$\{(?P<braced>\w+)\}|\$(?P<plain>[A-Za-z_]\w*)')


def _inside(piece: re.Match[str], environment: Mapping[str, str]) -> str:
    kind = piece.lastgroup or ""
    return piece[kind] if kind == "escaped" else environment.get(piece[kind], "")
