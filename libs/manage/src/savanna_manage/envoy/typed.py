"""The way in which Envoy's messages are written within one another."""

from __future__ import annotations

from typing import Any


def typed(kind: str, **fields: object) -> dict[str, Any]:
    """Write a message of a kind, for example "envoy.extensions.filters.http.router.v3.Router"."""
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def extension(name: str, kind: str, **fields: object) -> dict[str, Any]:
    """Write an extension with its configuration."""
    return {"name": name, "typed_config": typed(kind, **fields)}


def seconds(value: float) -> str:
    """Write a length of time."""
    return f"{value:g}s"
