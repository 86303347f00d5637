"""The commands of services, as somebody types them who does not know them yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = ("engine", "plugin-fake")


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("word", "code"), [("--help", 0), ("--bad", 2)])
def test_a_service_takes_no_words_and_says_where_its_settings_are(
    name: str, word: str, code: int, tmp_path: Path
) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / f"savanna-{name}"), word],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    told = done.stdout if code == 0 else done.stderr
    prefix = f"SAVANNA_{name.replace('-', '_').upper()}_"
    assert f"usage: savanna-{name}" in told
    assert f"{prefix}LISTEN" in told
    assert list(tmp_path.iterdir()) == []
