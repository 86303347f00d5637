"""The scripts that run on nodes.

What differs from node to node is in their environment.
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def read(name: str) -> str:
    """Read a script, for example "start"."""
    return (resources.files(__name__) / f"{name}.sh").read_text()
