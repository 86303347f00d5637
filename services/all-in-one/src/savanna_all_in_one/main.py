"""``savanna-all``: everything on one machine, in one process."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from savanna_all_in_one.compose import compose, prepare_database
from savanna_all_in_one.folder import DataFolder
from savanna_all_in_one.settings import AllSettings
from savanna_engine.cloud.local.driver import purge
from savanna_kit import commands, crashes, logs, serving, settings, telemetry
from savanna_kit.errors import SavannaError

if TYPE_CHECKING:
    from savanna_api_gateway.main import Gateway

_EPILOG = """\
examples:
  savanna-all                                 hosts on this machine, data in ~/.local/share/savanna
  savanna-all --cloud simulated               thousands of hosts that are only numbers
  savanna-all --auth tokens=tokens.yaml       only who has a token may ask
  savanna-all --purge ~/.local/share/savanna  remove every host that was made there

Every flag can be set in the environment too: SAVANNA_ALL_DATA_DIR, SAVANNA_ALL_REST, ...
So can what the services inside it are told, for example SAVANNA_ENGINE_SSH_SLOTS.
"""

_NAME = "savanna-all"
_FLAGS = {
    "SAVANNA_API_REST_LISTEN": "--rest",
    "SAVANNA_API_LISTEN": "--grpc",
    "SAVANNA_API_AUTH": "--auth",
    "SAVANNA_ENGINE_CLOUD": "--cloud",
    "SAVANNA_ENGINE_LOCAL_HOSTS": "--local-hosts",
}
"""What the services inside call a setting, and what it is called here."""


def main() -> None:
    """Run ``savanna-all``; ends with 2 for what can not be used."""
    flags = vars(_parser().parse_args())
    purged = flags.pop("purge")
    if purged is not None:
        _purge(purged)
        return
    chosen = {name: value for name, value in flags.items() if value is not None}
    try:
        given = settings.load(AllSettings, **chosen)
        folder = DataFolder(given.data_dir)
        folder.make()
        with folder.held(), folder.log_file.open("a", buffering=1) as log:
            logs.configure(level=given.log_level, form=given.log_format, stream=log)
            crashes.arm(os.environ)
            serving.run(_served(given, folder))
    except (settings.SettingsError, SavannaError) as error:
        _refuse(error)


async def _served(given: AllSettings, folder: DataFolder) -> None:
    try:
        await _serve(given, folder)
    except (settings.SettingsError, SavannaError) as error:
        # Of the start alone, and said here: the log is a file that nobody looks at yet.
        _refuse(error)


async def _serve(given: AllSettings, folder: DataFolder) -> None:
    prepare_database(folder)
    with folder.sockets() as sockets:
        parts = compose(given, folder, sockets)
        telemetry.configure(_NAME)
        gateway: Gateway = parts[-1]  # type: ignore[assignment]  # compose puts it last

        def ready() -> None:
            sys.stdout.write(
                f"Savanna serves: REST http://{gateway.rest_address}, gRPC {gateway.addresses[0]}, "
                f"logs in {folder.log_file}\n"
            )
            sys.stdout.flush()

        await serving.serve(parts, name=_NAME, metrics_address=given.metrics_address, ready=ready)


def _purge(path: Path) -> None:
    """Remove every local host that a data directory ever made."""
    folder = DataFolder(path)
    try:
        # First: a wrong folder must not get even the file of the lock.
        folder.recognise()
        with folder.held():
            count = purge(folder.hosts)
    except SavannaError as error:
        _refuse(error)
    done = {0: "no host was left", 1: "1 host is removed"}.get(count, f"{count} hosts are removed")
    sys.stdout.write(f"{folder.path}: {done}\n")


def _refuse(error: Exception) -> NoReturn:
    text = str(error)
    for theirs, ours in _FLAGS.items():
        text = text.replace(f"{theirs}=", f"{ours} ").replace(theirs, ours)
    sys.stderr.write(f"savanna-all: {text}\n")
    sys.exit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="savanna-all",
        description="Serve Savanna on this machine: every service in one process.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, meta in (
        ("data-dir", "DIR"),
        ("rest", "HOST:PORT"),
        ("grpc", "HOST:PORT"),
        ("auth", "none|tokens=FILE"),
        ("cloud", "local|simulated"),
        ("local-hosts", "auto|namespaces|loopback"),
        ("log-level", "debug|info|warning|error"),
    ):
        field = AllSettings.model_fields[name.replace("-", "_")]
        usual = field.get_default(call_default_factory=True)
        parser.add_argument(
            f"--{name}", metavar=meta, help=f"{field.description} [default: {usual}]"
        )
    parser.add_argument(
        "--plugin",
        dest="plugins",
        action="append",
        metavar="ADDRESS",
        help="Address of a further plugin server; may be given several times.",
    )
    parser.add_argument("--version", action="version", version=commands.version_of(_NAME))
    parser.add_argument(
        "--purge",
        type=Path,
        metavar="DIR",
        help="Remove every local host that this data directory ever made; serve nothing.",
    )
    return parser
