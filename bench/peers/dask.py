"""Dask distributed: a scheduler and two workers of one thread each. Nothing of it is durable."""

from __future__ import annotations

import sys
from functools import partial

from distributed import Client, wait

from bench.peers import script

SCHEDULER = script.folder() / "scheduler.json"


def nothing(before: object) -> None:
    """Do nothing."""


def fan(client: Client, number: int) -> None:
    """Submit tasks, and wait until all are done."""
    wait(client.map(nothing, range(number), pure=False))


def chain(client: Client, number: int) -> None:
    """Submit tasks of which each needs the one before, and wait for the last."""
    last = client.submit(nothing, None, pure=False)
    for _ in range(number - 1):
        last = client.submit(nothing, last, pure=False)
    wait(last)


def main() -> None:
    """Start scheduler and workers, and do what is asked for."""
    file = ("--scheduler-file", str(SCHEDULER))
    dask = (sys.executable, "-m", "dask")
    local = ("--host", "127.0.0.1", "--no-dashboard")
    worker = (*dask, "worker", *file, *local, "--nthreads", "1", "--no-nanny")
    with (
        script.running(*dask, "scheduler", *file, *local, "--port", "0"),
        script.running(*worker),
        script.running(*worker),
    ):
        script.until(SCHEDULER.exists)
        with Client(scheduler_file=str(SCHEDULER)) as client:
            client.wait_for_workers(2)
            fans, chains = partial(fan, client), partial(chain, client)
            script.answer({"W1": fans, "W3": chains})


if __name__ == "__main__":
    main()
