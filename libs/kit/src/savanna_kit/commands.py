"""What every command answers before it does anything: how it is used, and which version it is."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence


def version_of(command: str) -> str:
    """Say which version a command is: all members of the repository have one."""
    return f"{command} {version('savanna-kit')}"


def answer(words: Sequence[str], *, command: str, usage: str) -> None:
    """Answer ``--help`` and ``--version``, and end the process with 0; other words are left to the
    command."""
    if list(words) in (["-h"], ["--help"]):
        told = usage
    elif list(words) == ["--version"]:
        told = f"{version_of(command)}\n"
    else:
        return
    sys.stdout.write(told)
    sys.exit(0)


def refuse(usage: str) -> NoReturn:
    """Say how a command is used whose words are no use, and end the process with 2."""
    sys.stderr.write(usage)
    sys.exit(2)
