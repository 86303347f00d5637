"""Where Savanna is and who asks: from flags, the environment or a file, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from savanna_cli.documents import compose, mistake, pairs_of, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ADDRESS = "127.0.0.1:8387"
_NAMES = ("address", "token", "project", "authority", "certificate", "key")


@dataclass(frozen=True)
class Config:
    """How to reach Savanna."""

    address: str = DEFAULT_ADDRESS
    token: str = ""
    project: str = ""
    authority: str = ""
    """File of the authority that Savanna must have a certificate of; "" for plain text."""

    certificate: str = ""
    """File of one's own certificate, where Savanna asks for one."""

    key: str = ""
    """File of its key."""


def load(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Config:
    """Put the configuration together; a flag wins over SAVANNA_<NAME>, that over the file.

    Raises ``DocumentError`` with file and line.
    """
    values = _from_file(environ)
    values |= {
        name: environ[f"SAVANNA_{name.upper()}"]
        for name in _NAMES
        if environ.get(f"SAVANNA_{name.upper()}")
    }
    values |= {name: value for name, value in flags.items() if value}
    return Config(**values)


def _from_file(environ: Mapping[str, str]) -> dict[str, str]:
    named = environ.get("SAVANNA_CONFIG")
    path = Path(named) if named else _usual_path(environ)
    if not named and not path.exists():
        return {}
    root = compose(path)
    if root is None:
        return {}
    values = {}
    for key, value in pairs_of(str(path), root, "the file"):
        if key.value not in _NAMES:
            raise unknown(str(path), key, key.value, list(_NAMES))
        if not isinstance(value, yaml.ScalarNode) or not value.value:
            raise mistake(str(path), value, f"'{key.value}' must be text that is not empty")
        values[key.value] = value.value
    return values


def _usual_path(environ: Mapping[str, str]) -> Path:
    base = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    return Path(base) / "savanna" / "config.yaml"
