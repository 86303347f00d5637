"""Doors of Envoy: it lets nobody in before it has seen that who stands behind them is well."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

_SECONDS = 40.0


def wait_until_open(
    url: str, *, verify: ssl.SSLContext | bool = True, headers: Mapping[str, str] | None = None
) -> None:
    """Read by REST, which asks a gateway and a conductor, until that is answered."""
    deadline = time.monotonic() + _SECONDS
    with httpx.Client(verify=verify, headers=dict(headers or {})) as client:
        while True:
            try:
                answer = client.get(f"{url}/v2/clusters", timeout=5)
                said = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code == 200:
                    return
            except httpx.TransportError as error:
                said = repr(error)
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
