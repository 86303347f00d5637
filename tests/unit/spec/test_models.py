"""The specifications hold, lack nothing, and speak of the code as it is; `make model` has all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPECS = ROOT / "docs" / "spec"
MODULES = sorted(SPECS.glob("*.tla"))
NAME = r"(?:\.?_|\.)?[A-Za-z]\w*(?:\.\w+)?"
MENTION = re.compile(rf"([\w/]+\.py), ({NAME}(?:(?:, | and )(?=\S*[._])(?!\S+\.py){NAME})*)")
"""A file, a comma, and what is meant in it; further names have a dot or an underscore."""


def check(*words: str, specs: Path = SPECS) -> tuple[int, str]:
    command = [sys.executable, str(ROOT / "tools" / "model"), "--specs", str(specs), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_task_comes_back_from_a_lost_engine_unless_nobody_looks_after_it() -> None:
    code, said = check("LeaseFence-ends")

    assert code == 0, said
    assert "holds   LeaseFence-ends " in said
    assert "caught  LeaseFence-ends without LooksAfter" in said
    assert "by ComesBack" in said


def test_schedulers_that_send_or_forget_before_they_record_are_caught() -> None:
    code, said = check("without SendAfterCommit", "without AckAfterCommit")

    assert code == 0, said
    assert said.count("caught") == 2


def test_a_promise_that_nothing_can_break_is_told(tmp_path: Path) -> None:
    specs = shutil.copytree(SPECS, tmp_path / "spec")
    module = specs / "LeaseFence.tla"
    text, count = re.subn(r"^ComesBack ==.*", "ComesBack == []TRUE", module.read_text(), flags=re.M)
    assert count == 1
    module.write_text(text)

    code, said = check("without LooksAfter", specs=specs)

    assert code == 1
    assert "WRONG   LeaseFence-ends without LooksAfter" in said


def test_a_model_that_is_not_there_is_named() -> None:
    code, said = check("Leisure")

    assert code == 2
    assert "HandOver without Numbered" in said


def mentions(module: Path) -> list[tuple[str, str]]:
    """Give the files and names that the comments of a specification speak of."""
    lines = re.findall(r"\(\*(.*?)\*\)|\\\*(.*)", module.read_text())
    text = re.sub(r"\s+", " ", " ".join(block + line for block, line in lines))
    return [(file, name) for file, names in MENTION.findall(text) for name in split(names)]


def split(names: str) -> list[str]:
    return [each.lstrip(".") for each in re.split(r", | and ", names)]


def is_defined(name: str, text: str) -> bool:
    return all(
        re.search(rf"^\s*(?:async )?(?:def|class) {part}\b|^\s*{part}\b *[:=]", text, re.M)
        for part in name.split(".")
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_what_the_comments_name_is_in_the_code(module: Path) -> None:
    found = mentions(module)
    assert len(found) > 15
    missing = []
    for file, name in found:
        texts = [path.read_text() for path in (ROOT / "services").glob(f"*/src/**/{file}")]
        if not any(is_defined(name, text) for text in texts):
            missing.append(f"{file}, {name}")
    assert missing == []
