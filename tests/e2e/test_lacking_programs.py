"""A machine that lacks what hosts need: ``savanna-all`` says so in one sentence."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from savanna_engine.cloud.local import LocalCloud
from tests.e2e.all_in_one import ANY_PORT, COMMAND, SECONDS
from tests.spark.plain_user import plain_user

if TYPE_CHECKING:
    from pathlib import Path

NO_SSHD = (
    "savanna-all: the local cloud needs an SSH server: install openssh-server "
    "(apt-get install openssh-server), it need not run\n"
)


def said_without(programs: str, *words: str) -> tuple[int, str]:
    """Run ``savanna-all`` where a folder of programs is empty; gives its end and all it wrote."""
    hidden = 'mount -t tmpfs none "$0"; exec "$@"'
    unshare, shell = shutil.which("unshare"), shutil.which("sh")
    assert unshare is not None
    assert shell is not None
    done = subprocess.run(
        [unshare, "--mount", shell, "-euc", hidden, programs, COMMAND, *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def serve(folder: Path) -> list[str]:
    return ["--data-dir", str(folder), "--rest", ANY_PORT, "--grpc", ANY_PORT]


def test_without_an_ssh_server_nothing_is_served_and_one_sentence_says_why(tmp_path: Path) -> None:
    assert said_without("/usr/sbin", *serve(tmp_path / "data")) == (2, NO_SSHD)


def test_without_an_ssh_server_a_purge_is_refused_as_clearly(tmp_path: Path) -> None:
    LocalCloud(tmp_path / "hosts").close()
    assert said_without("/usr/sbin", "--purge", str(tmp_path)) == (2, NO_SSHD)


def test_namespaces_are_refused_to_who_may_not_make_them() -> None:
    with plain_user() as user:
        done = subprocess.run(
            [*user.by, COMMAND, *serve(user.home / "data"), "--local-hosts", "namespaces"],
            env=user.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("savanna-all: --local-hosts namespaces needs root, a machine")
    assert done.stderr.endswith("; use auto or loopback instead\n")
    assert done.stderr.count("\n") == 1
