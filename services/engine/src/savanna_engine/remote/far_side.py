"""The far side of a run: what is said to a host and how its answer is read.

Each call is one command on one channel. It carries the text of ``far_side.sh`` itself: eight
kilobytes more cost less than the round trip that would ask whether the host has it already, and a
host never holds an older text than the engine.
"""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING
from urllib.parse import quote

from savanna_engine.remote.errors import (
    FarSideFailed,
    RemoteError,
    RunLost,
    RunNotFound,
    StaleEpoch,
)

if TYPE_CHECKING:
    from savanna_engine.remote.base import Command, Host, RunId

LOOK_BYTES = 4 * 1024 * 1024
"""So much of each stream a look brings at most."""

OUTPUT_BYTES = 16 * 1024 * 1024
"""So much of each stream the end of a run brings: its last bytes."""

_TEXT = resources.files("savanna_engine.remote").joinpath("far_side.sh").read_text()
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MAX_NAME = 200
_PAUSE = 0.02
"""Seconds between two looks of the far side at processes that are to end."""


@dataclass(frozen=True)
class Call:
    """One thing to ask of a host: the command line, and what follows on its standard input."""

    line: str
    mark: str
    payload: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What the host said: ``stopped`` is true when it was this call that ended the run."""

    output: bytes = b""
    errors: bytes = b""
    exit_code: int | None = None
    stopped: bool = False


def run(run: RunId, command: Command, grace: float) -> Call:
    """Ask to start or find a run and wait for its end."""
    return _begin("run", run, command, grace)


def start(run: RunId, command: Command, grace: float) -> Call:
    """Ask to start or find a run."""
    return _begin("start", run, command, grace)


def look(run: RunId, output_offset: int, errors_offset: int) -> Call:
    """Ask how a run stands, and for what it wrote since."""
    return _call("look", run, LOOK_BYTES, 0.0, str(output_offset), str(errors_offset))


def stop(run: RunId, grace: float) -> Call:
    """Ask to stop a run, and for what it wrote; it is killed ``grace`` seconds after the asking."""
    return _call("stop", run, OUTPUT_BYTES, grace)


def read(host: Host, run: RunId, call: Call, answer: bytes, complaints: bytes) -> Answer:
    """Read what a host answered.

    Raises the error that the host reports, and ``FarSideFailed`` with its complaints when the
    answer has no end.
    """
    *streams, status = answer.split(call.mark.encode())
    if not streams:
        said = complaints.decode("utf-8", "replace").strip()[-500:]
        raise FarSideFailed(f"{host.instance} could not do it: {said or 'it gave no reason'}")
    word, *details = status.decode().split()
    match word:
        case "ended" | "stopped":
            code = None if details == ["-"] else int(details[0])
            errors = streams[1] if len(streams) > 1 else b""
            return Answer(streams[0], errors, code, stopped=word == "stopped")
        case "running":
            return Answer()
        case _:
            raise _refused(host, run, word, " ".join(details))


def folder(run: RunId) -> str:
    """Name the folder of a run, relative to the home of the host's user."""
    return f".savanna/{_safe(run.operation_id)}/{_safe(run.key)}"


def _begin(verb: str, run: RunId, command: Command, grace: float) -> Call:
    order = _order(command)
    sizes = [len(order), *(len(each.content) for each in command.files)]
    return _call(
        verb,
        run,
        OUTPUT_BYTES,
        grace,
        "adopt" if command.adopt else "replace",
        "apart" if command.split_streams else "together",
        *(str(size) for size in sizes),
        payload=(order, *(each.content for each in command.files), b"complete\n"),
    )


def _call(
    verb: str,
    run: RunId,
    limit: int,
    grace: float,
    *arguments: str,
    payload: tuple[bytes, ...] = (),
) -> Call:
    # Nobody can guess the mark, so no output can be taken for the end of the answer.
    mark = secrets.token_hex(16)
    looks = str(round(grace / _PAUSE))
    words = [verb, folder(run), str(run.epoch), mark, str(limit), looks, *arguments]
    line = f"exec /bin/sh -c {shlex.quote(_TEXT)} far-side {shlex.join(words)}"
    return Call(line, mark, payload)


def _order(command: Command) -> bytes:
    exports = []
    for name, value in command.environment.items():
        if not _NAME.fullmatch(name):
            raise RemoteError(f"'{name}' can not name an environment variable")
        exports.append(f"export {name}={shlex.quote(value)}\n")
    places = []
    for number, file in enumerate(command.files, start=1):
        if not file.path.startswith("/") and ".." in file.path.split("/"):
            raise RemoteError(f"file '{file.path}' would leave the working directory")
        places.append(f"place {number} {file.mode:o} {shlex.quote(file.path)}\n")
    order = (
        f"script={shlex.quote(command.script)}\n"
        f"environment={shlex.quote(''.join(exports))}\n"
        f"place_files() {{\n{''.join(places)}:\n}}\n"
    )
    if "\0" in order:
        raise RemoteError("a script and its environment can not hold the character NUL")
    return order.encode()


def _safe(name: str) -> str:
    """Make a name of one folder of any text: plain words stay as they are."""
    safe = quote(name, safe="").replace("~", "%7E")
    if safe.startswith("."):
        safe = f"%2E{safe[1:]}"
    if len(safe) > _MAX_NAME:
        raise RemoteError(f"'{name[:60]}...' is too long to name a run")
    return safe or "%"


def _refused(host: Host, run: RunId, word: str, detail: str) -> RemoteError:
    where = f"'{run.key}' on {host.instance}"
    match word:
        case "stale":
            return StaleEpoch(f"{where} belongs to attempt {detail}, which is later than this one")
        case "missing":
            return RunNotFound(f"{host.instance} knows no run '{run.key}'")
        case "lost":
            return RunLost(f"{where} ended without an exit code: the host has started anew")
        case "stuck":
            return FarSideFailed(f"processes {detail} of {where} do not end")
        case "busy":
            return FarSideFailed(f"another attempt of {where} did not make way in time")
        case "lacking":
            return FarSideFailed(
                f"{host.instance} lacks flock or setsid: its image needs the package util-linux"
            )
        case _:
            return FarSideFailed(f"what was sent to {host.instance} arrived incomplete")
