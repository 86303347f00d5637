"""Logging in to a host with the system's own ``ssh``: a key and a pinned host key, gone after."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna_cli.failures import Refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from savanna.api.v1.cluster_service_pb2 import GetClusterAccessResponse

_REACHABLE = (
    Instance.STATE_REACHABLE,
    Instance.STATE_CONFIGURED,
    Instance.STATE_READY,
    Instance.STATE_LEAVING,
)


def choose(access: GetClusterAccessResponse, name: str) -> Instance:
    """Choose a host by name, or by the end of its name; the first one that answers without.

    Raises ``Refusal``.
    """
    living = [each for each in access.instances if each.state in _REACHABLE]
    names = ", ".join(each.name for each in living) or "none answers yet"
    fitting = [each for each in living if each.name == name] or [
        each for each in living if not name or each.name.endswith(f"-{name}")
    ]
    if not fitting:
        raise Refusal(f"there is no host {name!r} to log in to; there are: {names}")
    if name and len(fitting) > 1:
        raise Refusal(f"{name!r} is the end of several names; there are: {names}")
    return fitting[0]


async def log_in(
    instance: Instance, private_key: str, command: Sequence[str], environ: Mapping[str, str]
) -> int:
    """Run ``ssh`` on this terminal and give its exit code.

    Raises ``Refusal`` when there is none.
    """
    program = shutil.which("ssh", path=environ.get("PATH"))
    if program is None:
        raise Refusal("there is no 'ssh' on PATH: install OpenSSH's client")
    with tempfile.TemporaryDirectory(prefix="savanna-ssh-") as folder:
        words = _words(instance, Path(folder), private_key, command)
        async with _interrupts_left_to_it():
            process = await asyncio.create_subprocess_exec(program, *words, env=dict(environ))
            return await process.wait()


def _words(instance: Instance, folder: Path, private_key: str, command: Sequence[str]) -> list[str]:
    key, known = folder / "key", folder / "known_hosts"
    key.touch(mode=0o600)
    key.write_text(private_key.rstrip("\n") + "\n")
    port = instance.ssh_port or 22
    host = instance.management_ip or instance.internal_ip
    pinned = host if port == 22 else f"[{host}]:{port}"
    known.write_text(f"{pinned} {instance.host_key}\n")
    options = {
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": str(known),
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "HostKeyAlgorithms": instance.host_key.partition(" ")[0],
        "LogLevel": "ERROR",
    }
    given = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    return ["-i", str(key), *given, "-p", str(port), f"{instance.ssh_user}@{host}", *command]


@contextlib.asynccontextmanager
async def _interrupts_left_to_it() -> AsyncIterator[None]:
    """Ctrl-C is for what runs over there; the key is removed when that has ended."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGINT, lambda: None)
    except (NotImplementedError, ValueError, RuntimeError):  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
