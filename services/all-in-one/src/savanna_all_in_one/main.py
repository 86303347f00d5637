"""``savanna-all``: everything on one machine, in one process."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_all_in_one.compose import compose, prepare_database
from savanna_all_in_one.folder import DataFolder
from savanna_all_in_one.settings import AllSettings
from savanna_engine.cloud.local.driver import purge
from savanna_kit import logs, serving, settings, telemetry
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
"""


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
            serving.run(_served(given, folder))
    except (settings.SettingsError, SavannaError) as error:
        sys.stderr.write(f"savanna-all: {error}\n")
        sys.exit(2)


async def _served(given: AllSettings, folder: DataFolder) -> None:
    try:
        await _serve(given, folder)
    except (settings.SettingsError, SavannaError) as error:
        # Said here: the log is a file that nobody looks at yet.
        sys.stderr.write(f"savanna-all: {error}\n")
        sys.exit(2)


async def _serve(given: AllSettings, folder: DataFolder) -> None:
    prepare_database(folder)
    with folder.sockets() as sockets:
        parts = compose(given, folder, sockets)
        telemetry.configure("savanna-all")
        gateway: Gateway = parts[-1]  # type: ignore[assignment]  # compose puts it last

        def ready() -> None:
            sys.stdout.write(
                f"Savanna serves: REST http://{gateway.rest_address}, gRPC {gateway.addresses[0]}, "
                f"logs in {folder.log_file}\n"
            )
            sys.stdout.flush()

        await serving.serve(parts, ready=ready)


def _purge(path: Path) -> None:
    """Remove every local host that a data directory ever made."""
    folder = DataFolder(path)
    if not folder.path.is_dir():
        sys.stderr.write(f"savanna-all: there is no data directory {folder.path}\n")
        sys.exit(2)
    try:
        with folder.held():
            count = purge(folder.hosts)
    except SavannaError as error:
        sys.stderr.write(f"savanna-all: {error}\n")
        sys.exit(2)
    sys.stdout.write(f"{count} hosts of {folder.path} are removed\n")


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
        ("log-level", "LEVEL"),
    ):
        text = AllSettings.model_fields[name.replace("-", "_")].description
        parser.add_argument(f"--{name}", metavar=meta, help=text)
    parser.add_argument(
        "--plugin",
        dest="plugins",
        action="append",
        metavar="ADDRESS",
        help="Address of a further plugin server; may be given several times.",
    )
    parser.add_argument(
        "--purge",
        type=Path,
        metavar="DIR",
        help="Remove every local host that this data directory ever made, and end.",
    )
    return parser
