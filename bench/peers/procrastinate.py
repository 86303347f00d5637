"""Procrastinate: two workers on PostgreSQL, each with ten jobs at once. There are no chains: each
step defers the next."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from procrastinate import App, PsycopgConnector

from bench.peers import script

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

app = App(connector=PsycopgConnector(conninfo=script.database()))

OPEN_JOBS = "FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"


@app.task(name="nothing")
async def nothing() -> None:
    """Do nothing."""


@app.task(name="step")
async def step(left: int) -> None:
    """Do nothing, and ask for the next step unless this is the last."""
    if left:
        await step.defer_async(left=left - 1)


async def fan(number: int) -> None:
    """Defer jobs in one batch."""
    await nothing.batch_defer_async(*({} for _ in range(number)))


async def chain(number: int) -> None:
    """Defer the first step of a chain."""
    await step.defer_async(left=number - 1)


def run(
    seen: psycopg.Connection[tuple[int]], work: Callable[[int], Awaitable[None]], number: int
) -> None:
    """Defer what work says, and wait until nothing is left to do."""

    async def defer() -> None:
        async with app.open_async():
            await work(number)

    asyncio.run(defer())
    # The newest is found by an index, and is among the last to be done: looking costs little.
    query = f"SELECT 1 {OPEN_JOBS} ORDER BY id DESC LIMIT 1"
    script.until(lambda: seen.execute(query).fetchone() is None)


async def prepare() -> None:
    """Make the tables."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


def main() -> None:
    """Start the workers, and do what is asked for."""
    asyncio.run(prepare())
    worker = (sys.executable, "-m", "procrastinate", "--log-level", "warning")
    at_once = ("--app", "bench.peers.procrastinate.app", "worker", "--concurrency", "10")
    with (
        psycopg.connect(script.database(), autocommit=True) as seen,
        script.running(*worker, *at_once),
        script.running(*worker, *at_once),
    ):
        run(seen, fan, 2)
        script.answer({"W1": partial(run, seen, fan), "W3": partial(run, seen, chain)})


if __name__ == "__main__":
    main()
