"""A process dies at a crash point when it is told to, and never otherwise."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from savanna_kit import crashes
from savanna_kit.settings import SettingsError

ON_PURPOSE = {"SAVANNA_CRASH_ON_PURPOSE": "yes"}
PASSES = """
import os
from savanna_kit import crashes
crashes.arm(os.environ)
for number in range(1, 6):
    crashes.here("engine.send.before")
    print(number, flush=True)
    crashes.here("engine.send.after")
"""


def passed(environment: dict[str, str]) -> tuple[int, list[str]]:
    """Pass two points five times; gives the exit code, and the passes between them."""
    done = subprocess.run(
        [sys.executable, "-c", PASSES],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    return done.returncode, [line for line in done.stdout.split() if line.isdigit()]


def test_a_process_passes_all_points_unless_it_is_told_otherwise() -> None:
    assert passed({}) == (0, ["1", "2", "3", "4", "5"])


def test_a_process_dies_at_the_named_pass_of_the_named_point() -> None:
    before = {"SAVANNA_CRASH_AT": "engine.send.before:3", **ON_PURPOSE}
    code, passes = passed(before)
    assert code == -signal.SIGKILL
    assert passes[-1] == "2"
    after = {"SAVANNA_CRASH_AT": "engine.send.after:3", **ON_PURPOSE}
    code, passes = passed(after)
    assert code == -signal.SIGKILL
    assert passes[-1] == "3"


def test_one_variable_alone_is_refused() -> None:
    with pytest.raises(SettingsError, match="SAVANNA_CRASH_ON_PURPOSE=yes"):
        crashes.arm({"SAVANNA_CRASH_AT": "engine.send.after:3"})


@pytest.mark.parametrize(
    "wrong", ["engine.sned.after:3", "engine.send.after", "engine.send.after:0"]
)
def test_what_names_no_point_is_refused_with_those_that_there_are(wrong: str) -> None:
    with pytest.raises(SettingsError, match=r"POINT:N.*engine\.send\.after"):
        crashes.arm({"SAVANNA_CRASH_AT": wrong, **ON_PURPOSE})


def test_each_point_that_is_named_is_passed_somewhere_and_no_other() -> None:
    root = Path(__file__).parents[3]
    passed_by = {
        point
        for folder in ("libs", "services", "plugins")
        for file in (root / folder).glob("*/src/**/*.py")
        for point in re.findall(r"crashes\.here\(\"([^\"]+)\"\)", file.read_text())
    }
    assert passed_by == set(crashes.POINTS)
