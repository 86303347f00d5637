"""TaskFlow: one process, whose engine has two threads, with persistence in PostgreSQL."""

from __future__ import annotations

import contextlib

from taskflow import engines, task
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.persistence import backends

from bench.peers import script


class Nothing(task.Task):
    """A task that does nothing."""

    def execute(self) -> None:
        """Do nothing."""


def main() -> None:
    """Make the tables, and do what is asked for."""
    backend = backends.fetch({"connection": script.database("psycopg2")})
    with contextlib.closing(backend.get_connection()) as connection:
        connection.upgrade()

    def run(flow: unordered_flow.Flow | linear_flow.Flow, number: int) -> None:
        flow.add(*(Nothing(f"task-{each}") for each in range(number)))
        engines.run(flow, backend=backend, engine="parallel", executor="threads", max_workers=2)

    script.answer(
        {
            "W1": lambda number: run(unordered_flow.Flow("fan"), number),
            "W3": lambda number: run(linear_flow.Flow("chain"), number),
        }
    )


if __name__ == "__main__":
    main()
