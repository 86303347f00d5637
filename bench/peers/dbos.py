"""DBOS: two processes that take steps from a queue in PostgreSQL, each up to 100 at once. A chain
is one workflow, whose steps its own process does."""

from __future__ import annotations

import signal
import sys

from dbos import DBOS

from bench.peers import script

QUEUE = "peer"

LOOK = 0.05
"""Seconds between two looks at whether a step has ended; each is a query."""


@DBOS.step()
def nothing() -> None:
    """Do nothing."""


def fan(number: int) -> None:
    """Enqueue steps, and wait for all of them."""
    queue = DBOS.retrieve_queue(QUEUE)
    for handle in [queue.enqueue(nothing) for _ in range(number)]:
        handle.get_result(polling_interval_sec=LOOK)


@DBOS.workflow()
def chain(number: int) -> None:
    """Do steps one after the other; the result of each is stored before the next begins."""
    for _ in range(number):
        nothing()


def launch(name: str, queues: list[str]) -> None:
    """Be an executor that takes steps from these queues."""
    DBOS(
        config={
            "name": "peer",
            "system_database_url": script.database("psycopg"),
            "application_version": "1",
            "executor_id": name,
            "log_level": "WARNING",
        }
    )
    DBOS.listen_queues(queues)
    DBOS.launch()


def work(name: str) -> None:
    """Be a worker until SIGTERM."""
    launch(name, [QUEUE])
    signal.sigwait([signal.SIGTERM])
    DBOS.destroy()


def main() -> None:
    """Start the workers, and do what is asked for."""
    launch("driver", [])
    DBOS.register_queue(QUEUE, worker_concurrency=100, polling_interval_sec=0.1)
    worker = (sys.executable, "-m", "bench.peers.dbos")
    with script.running(*worker, "worker-1"), script.running(*worker, "worker-2"):
        fan(2)
        script.answer({"W1": fan, "W3": chain})
    DBOS.destroy()


if __name__ == "__main__":
    if sys.argv[1:]:
        work(sys.argv[1])
    else:
        main()
