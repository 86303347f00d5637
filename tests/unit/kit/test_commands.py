"""The commands of services, as somebody types them who does not know them yet."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
SERVICES = ("conductor", "plugin-fake")
"""One that takes a word, and one of all those that take none."""

TOOLS = ("health", "manage")


def answers(tmp_path: Path, *words: str, of: tuple[str, ...]) -> dict[str, tuple[int, str, str]]:
    """Run commands with the same words; gives the exit code, standard output and error of each."""

    def run(name: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [str(BIN / f"savanna-{name}"), *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    with ThreadPoolExecutor(2) as threads:
        return dict(zip(of, threads.map(run, of), strict=True))


def test_every_command_says_how_it_is_used(tmp_path: Path) -> None:
    for name, (code, out, err) in answers(tmp_path, "--help", of=SERVICES + TOOLS).items():
        assert (code, err) == (0, ""), name
        assert f"usage: savanna-{name}" in out.replace("Usage", "usage")
        assert "--version" in out, name
        if name in SERVICES:
            assert f"SAVANNA_{name.replace('-', '_').upper()}_LISTEN" in out
            assert "docs/settings.md" in out
    assert list(tmp_path.iterdir()) == []


def test_every_command_says_which_version_it_is(tmp_path: Path) -> None:
    for name, (code, out, err) in answers(
        tmp_path, "--version", of=("plugin-fake", "all", "health")
    ).items():
        assert (code, err) == (0, ""), name
        assert re.fullmatch(rf"savanna-{name} \d+\.\d+\.\d+\n", out)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["plugin-fake", "conductor"])
def test_a_word_that_is_no_use_is_refused_with_what_is(name: str, tmp_path: Path) -> None:
    code, out, err = answers(tmp_path, "--bad", of=(name,))[name]
    assert (code, out) == (2, "")
    assert f"usage: savanna-{name}" in err
    assert list(tmp_path.iterdir()) == []


def test_the_conductors_usage_names_the_migration(tmp_path: Path) -> None:
    _, out, _ = answers(tmp_path, "--help", of=("conductor",))["conductor"]
    assert "savanna-conductor migrate    bring the database to this version" in out
