"""What every command is given: how to reach Savanna, and where to write."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_cli import config, output
from savanna_cli.documents import DocumentError
from savanna_cli.output import Form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from google.protobuf.message import Message
    from rich.console import Console
    from rich.text import Text

    from savanna_cli.config import Config
    from savanna_client import Client, Tls


def _now() -> datetime:
    return datetime.now(UTC)


def _tls(given: Config) -> Tls | None:
    from savanna_client import Tls

    if not given.authority:
        if given.certificate or given.key:
            raise DocumentError(
                "a certificate and a key are for TLS: name the file of the authority too "
                "(SAVANNA_AUTHORITY, or 'authority' in the configuration file)"
            )
        return None
    return Tls(
        Path(given.authority).expanduser(),
        Path(given.certificate).expanduser() if given.certificate else None,
        Path(given.key).expanduser() if given.key else None,
    )


@dataclass(frozen=True)
class Session:
    """One run of the command."""

    out: Console
    """For results."""

    err: Console
    """For everything that is said about them."""

    environ: Mapping[str, str]
    flags: Mapping[str, str | None] = field(default_factory=dict)
    now: Callable[[], datetime] = _now
    asks: bool = False
    """Whether somebody is there to answer questions."""

    def with_flags(self, **flags: str | None) -> Session:
        """Give the session with what was said on the command line."""
        return replace(self, flags=flags)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        """Open a connection.

        Raises ``DocumentError`` for a configuration that can not be used.
        """
        # Loading gRPC takes longer than everything else: help shall not wait for it.
        from savanna_client import Client

        given = config.load(self.flags, self.environ)
        tls = _tls(given)
        async with Client(given.address, given.token, given.project, tls=tls) as client:
            yield client

    def say(self, text: str | Text, style: str = "") -> None:
        """Say something about the results."""
        self.err.print(text, style=style)

    def write_bytes(self, data: bytes, form: Form = Form.TABLE) -> None:
        """Write what a program wrote, as it is; but never among what another program reads."""
        stream = self.progress_console(form).file
        buffer = getattr(stream, "buffer", None)
        if buffer is None:
            stream.write(data.decode(errors="replace"))
        else:
            stream.flush()
            buffer.write(data)
        stream.flush()

    def progress_console(self, form: Form) -> Console:
        """Give where progress is shown: never among what a program reads."""
        return self.out if form is Form.TABLE else self.err

    def show_message(self, form: Form, message: Message) -> None:
        """Write a message as JSON or YAML."""
        output.show_data(self.out, form, output.as_data(message))
