"""A user without any rights of root, also when the tests are run by root."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_USER_ID = 64200
_BECOME = """
mount --bind "$0" /etc/passwd
# The clone and its Python may lie in a home that is closed to others: all files may be read.
exec setpriv --reuid 64200 --regid 64200 --clear-groups --no-new-privs \\
    --bounding-set=-all,+dac_read_search \\
    --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search "$@"
"""


@dataclass(frozen=True)
class PlainUser:
    """A user: what to put before a command, the environment to give it, and a home."""

    user_id: int
    by: list[str]
    environment: dict[str, str]
    home: Path


@contextmanager
def plain_user() -> Iterator[PlainUser]:
    """Give a plain user: the one who runs the tests, or one made up for root."""
    with tempfile.TemporaryDirectory(prefix="savanna-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        home = folder / "home"
        home.mkdir(mode=0o700)
        path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
        environment = {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}
        if os.geteuid() != 0:
            yield PlainUser(os.geteuid(), [], environment, home)
            return
        passwd = folder / "passwd"
        accounts = Path("/etc/passwd").read_text()
        passwd.write_text(f"{accounts}plain:x:{_USER_ID}:{_USER_ID}::{home}:/bin/sh\n")
        os.chown(home, _USER_ID, _USER_ID)
        by = ["unshare", "--mount", "sh", "-euc", _BECOME, str(passwd)]
        yield PlainUser(_USER_ID, by, environment, home)
