"""Settings of services: from the environment, named ``SAVANNA_<SERVICE>_<NAME>``, read once in
``main``.

A variable with the prefix of a service that the service does not know is refused, so that no typing
error passes for a setting.
"""

from __future__ import annotations

import difflib
import os
import textwrap
from pathlib import Path  # noqa: TC003 - pydantic reads the annotation when it runs
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from savanna_kit.identity import Identity
from savanna_kit.validity import IdentityError

if TYPE_CHECKING:
    from collections.abc import Mapping

S = TypeVar("S", bound="ProcessSettings")


class SettingsError(Exception):
    """Settings that can not be used; the text names each variable and what to do."""


class ProcessSettings(BaseSettings):
    """What every process can be told. Subclasses set ``model_config = prefixed("CONDUCTOR")``."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of logged events: debug, info, warning or error."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json, console, or auto: console on a terminal."
    )
    drain_seconds: float = Field(
        5.0, description="Seconds that calls under way get to end when the service stops."
    )
    metrics_address: str = Field(
        "",
        description=(
            "Where Prometheus reads metrics: host:port; empty for nowhere. Whoever reaches it may "
            "read."
        ),
    )


class ServiceSettings(ProcessSettings):
    """What every service can be told."""

    listen: str = Field("127.0.0.1:0", description="Where gRPC is served: host:port or unix:/path.")
    tls_authority: Path | None = Field(
        None,
        description=(
            "File with the certificates of the authority that is trusted, PEM. With the next two: "
            "mutual TLS on everything that is served and called; without: only this machine."
        ),
    )
    tls_certificate: Path | None = Field(
        None, description="File with the certificate that is shown to others, PEM; may be renewed."
    )
    tls_key: Path | None = Field(None, description="File with the key of that certificate, PEM.")

    def identity(self) -> Identity | None:
        """Give what is shown to others; None without certificates.

        Raises ``SettingsError`` when only some of the files are named, they can not be used, or
        others would refuse what is shown.
        """
        named = {
            f"{self.model_config['env_prefix']}{name}".upper(): getattr(self, name)
            for name in ("tls_authority", "tls_certificate", "tls_key")
        }
        missing = [name for name, file in named.items() if file is None]
        if len(missing) == len(named):
            return None
        if missing:
            raise SettingsError(
                f"{' and '.join(missing)} must be set too: mutual TLS needs the files of the "
                "authority, of the certificate and of its key"
            )
        authority, certificate, key = named.values()
        try:
            identity = Identity(authority=authority, certificate=certificate, key=key)
            identity.validity()
        except IdentityError as error:
            raise SettingsError(f"{next(iter(named))} and the two beside it: {error}") from error
        return identity


def prefixed(service: str) -> SettingsConfigDict:
    """Give the configuration of a settings class whose variables begin with
    ``SAVANNA_<service>_``."""
    return SettingsConfigDict(env_prefix=f"SAVANNA_{service}_", extra="forbid", frozen=True)


def load(kind: type[S], **given: Any) -> S:  # noqa: ANN401 - the fields of the class decide
    """Read settings from the environment; values given win.

    Raises ``SettingsError``.
    """
    prefix = kind.model_config.get("env_prefix", "")
    known = {f"{prefix}{name}".upper() for name in kind.model_fields}
    for name in os.environ:
        if prefix and name.upper().startswith(prefix) and name.upper() not in known:
            near = difflib.get_close_matches(name.upper(), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are: {', '.join(sorted(known))}"
            raise SettingsError(f"{name} is not a setting; {hint}")
    try:
        return kind(**given)
    except ValidationError as error:
        lines = [
            f"{prefix}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}"
            for each in error.errors()
        ]
        raise SettingsError("; ".join(lines)) from error


def command_of(kind: type[ProcessSettings]) -> str:
    """Name the command that takes settings of a kind."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    return prefix.strip("_").lower().replace("_", "-")


def usage(kind: type[ProcessSettings], words: Mapping[str, str] | None = None) -> str:
    """Say how a command is used that takes settings, some lines for each of them; and what it does
    for the words that it takes, if there are any."""
    prefix, command = str(kind.model_config.get("env_prefix", "")), command_of(kind)
    summary = (kind.__doc__ or "").strip().splitlines()[0]
    forms = {"": "", **(words or {}), "--version": "say which version this is"}
    width = max(map(len, forms)) + 2
    lines = [f"{command} {word:{width}}{meaning}".rstrip() for word, meaning in forms.items()]
    lines = [f"{'usage:' if not number else '      '} {each}" for number, each in enumerate(lines)]
    lines += ["", summary, "", "The environment sets (docs/settings.md has all services):"]
    for name, field in kind.model_fields.items():
        known = field.default is not None and not field.is_required() and not field.default_factory
        default = f" Default: {field.default}" if known else ""
        meaning = textwrap.wrap(f"{field.description}{default}", width=90)
        lines += ["", f"  {prefix}{name.upper()}", *(f"      {each}" for each in meaning)]
    return "\n".join(lines) + "\n"


def page(kinds: list[type[ProcessSettings]]) -> str:
    """Write the page of all settings, in Markdown."""
    parts = ["# Settings\n\nGenerated by `make docs` from the settings classes.\n"]
    for kind in kinds:
        prefix = str(kind.model_config.get("env_prefix", ""))
        summary = (kind.__doc__ or "").strip().splitlines()[0]
        parts.append(
            f"\n## {prefix}*\n\n{summary}\n\n| variable | default | meaning |\n|---|---|---|\n"
        )
        for name, field in kind.model_fields.items():
            default = "required" if field.is_required() else f"`{field.default!r}`"
            parts.append(f"| `{prefix}{name.upper()}` | {default} | {field.description} |\n")
    return "".join(parts)
