"""The floor of recording tasks: the same rows of the same tables, written by the database's driver
alone.

For each batch one transaction hands tasks out, one more ends them; each of both also stores a row
of the journal for every task. No messages, no decisions, no other process.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values  # type: ignore[import-untyped]  # it has no types

from bench import clocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

BATCH = 100
_BODY = bytes(230)
"""About as long as an entry of the journal."""


def measure(database: Engine, tasks: int) -> tuple[float, float]:
    """Record tasks; gives seconds and this process's CPU seconds."""
    connection = database.raw_connection()
    cursor = connection.cursor()
    write = _postgresql if database.dialect.name == "postgresql" else _sqlite
    try:
        operation_id = str(uuid.uuid4())
        ids = [str(uuid.uuid4()) for _ in range(tasks)]
        begun, cpu = time.perf_counter(), clocks.spent_here()
        write(cursor, _OPERATION, [(operation_id,)])
        write(cursor, _TASK, [(each, operation_id, each) for each in ids])
        connection.commit()
        number = 10**12
        for state, before in ((2, 1), (3, 2)):
            for start in range(0, tasks, BATCH):
                batch = ids[start : start + BATCH]
                _change(cursor, write, batch, state, before)
                rows = [(number + n, operation_id, _BODY) for n, _ in enumerate(batch)]
                number += len(rows)
                write(cursor, _JOURNAL, rows)
                connection.commit()
        seconds, spent = time.perf_counter() - begun, clocks.spent_here() - cpu
        cursor.execute("DELETE FROM journal WHERE sequence >= 1000000000000")
        cursor.execute(f"DELETE FROM task WHERE operation_id = '{operation_id}'")
        cursor.execute(f"DELETE FROM operation WHERE id = '{operation_id}'")
        connection.commit()
    finally:
        connection.close()
    return seconds, spent


_OPERATION = (
    """INSERT INTO operation (id, project_id, cluster_id, job_id, goal, state, owner,
    cancel_requested, cancel_acknowledged, created, body)""",
    "(%s, '', '', '', 1, 3, '', false, false, 0, '')",
)
_TASK = (
    """INSERT INTO task (id, operation_id, key, position, state, epoch, session_id,
    failed_attempts, lost_attempts, not_before, waiting_since, created, started, ended, polled,
    failure, spec, body)""",
    "(%s, %s, %s, 0, 1, 0, '', 0, 0, 0, 0, 0, 0, 0, false, '', '', '')",
)
_JOURNAL = (
    "INSERT INTO journal (sequence, project_id, cluster_id, operation_id, body)",
    "(%s, '', '', %s, %s)",
)


def _postgresql(cursor: Any, statement: tuple[str, str], rows: Sequence[tuple[Any, ...]]) -> None:  # noqa: ANN401 - the driver's own cursor
    execute_values(cursor, f"{statement[0]} VALUES %s", rows, statement[1], page_size=len(rows))


def _sqlite(cursor: Any, statement: tuple[str, str], rows: Sequence[tuple[Any, ...]]) -> None:  # noqa: ANN401 - the driver's own cursor
    cursor.executemany(f"{statement[0]} VALUES {statement[1].replace('%s', '?')}", rows)


def _change(cursor: Any, write: Any, ids: Sequence[str], state: int, before: int) -> None:  # noqa: ANN401 - the driver's own cursor
    if write is _postgresql:
        cursor.execute(
            f"UPDATE task SET state = {state}, epoch = epoch + 1 "
            f"WHERE id = ANY(%s) AND state = {before}",
            (list(ids),),
        )
        return
    cursor.executemany(
        f"UPDATE task SET state = {state}, epoch = epoch + 1 WHERE id = ? AND state = {before}",
        [(each,) for each in ids],
    )
