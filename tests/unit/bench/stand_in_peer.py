"""A system for tests: it does "W1" at once and dies of "W3"; what it started does not die of it."""

from __future__ import annotations

import subprocess
import sys

from bench.peers import script


def fan(number: int) -> None:
    assert number > 0
    assert script.folder().is_dir()
    # What systems say must not be taken for an answer.
    subprocess.run(["echo", "done"], check=True)


def chain(number: int) -> None:
    raise RuntimeError(f"a chain of {number} is too long")


if __name__ == "__main__":
    left_alone = subprocess.Popen(["sleep", "600"])
    print(left_alone.pid, file=sys.stderr, flush=True)  # noqa: T201  # for the log
    script.answer({"W1": fan, "W3": chain})
