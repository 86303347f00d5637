"""The suite as a command: a line for each promise; exit code 1 when one is broken."""

from __future__ import annotations

import asyncio
import importlib
import sys

from savanna_kit.errors import SavannaError
from savanna_pluginkit.conformance import CHECKS, Broken, Example, name_of, session

_USAGE = "usage: python -m savanna_pluginkit.conformance ADDRESS MODULE:EXAMPLE\n"


async def run(address: str, example: Example) -> int:
    """Ask for every promise; gives the number of broken ones."""
    broken = 0
    async with session(address, example) as asked:
        for check in CHECKS:
            try:
                await check(asked)
            except (Broken, SavannaError) as error:
                broken += 1
                sys.stdout.write(f"BROKEN  {name_of(check)}: {error}\n")
            else:
                sys.stdout.write(f"kept    {name_of(check)}\n")
    return broken


def main() -> None:
    """Run the suite."""
    if len(sys.argv) != 3 or ":" not in sys.argv[2]:
        sys.stderr.write(_USAGE)
        sys.exit(2)
    module, _, name = sys.argv[2].partition(":")
    example = getattr(importlib.import_module(module), name)
    sys.exit(1 if asyncio.run(run(sys.argv[1], example)) else 0)


if __name__ == "__main__":
    main()
