"""What the suites of several implementations share."""

from __future__ import annotations

from tests.conformance.remote_hosts import host, hosts, proxy, remote

__all__ = ["host", "hosts", "proxy", "remote"]
