"""Reading metrics as Prometheus does."""

from __future__ import annotations

import asyncio
import urllib.request


async def scrape(where: str) -> dict[str, float]:
    """Read an endpoint; values by name with labels."""

    def read() -> str:
        with urllib.request.urlopen(f"http://{where}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    lines = (await asyncio.to_thread(read)).splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}
