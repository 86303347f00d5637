"""For a process that has a database to itself, as ``savanna-all`` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from savanna_conductor import leases
from savanna_conductor.store import dialect
from savanna_conductor.store.transaction import Transaction

if TYPE_CHECKING:
    from sqlalchemy import Engine


def end_former_life(engine: Engine) -> None:
    """End all leases of schedulers and engine sessions at once: the caller knows that whoever had
    them is dead.

    What they were doing is given to others as after any lost lease: with a higher epoch, by which
    hosts stop what an earlier one still runs there.
    """
    with dialect.for_writing(engine.connect()) as connection, connection.begin():
        now = dialect.become_writer(connection)
        leases.end_all(Transaction(connection, now))
