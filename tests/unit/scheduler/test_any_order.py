"""Whatever happens in whatever order, the core keeps its promises; one that does not is found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from savanna_conductor.store import dialect
from savanna_conductor.store.migrate import migrate
from savanna_scheduler.core.scarce import Scarce
from savanna_scheduler.core.scheduler import SchedulerCore
from savanna_scheduler.core.sessions import Session, Sessions
from tests.unit.scheduler.any_order import AnyOrder
from tests.unit.scheduler.compared import ComparedDatabase

if TYPE_CHECKING:
    from random import Random

    from savanna_scheduler.core.graph import TaskNode
    from savanna_scheduler.core.policy import Policy
    from tests.unit.scheduler.database import Database

SETTINGS = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    # What failed is shown as it was found: to look for less would take minutes.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def test_the_core_keeps_its_promises_in_any_order() -> None:
    run_state_machine_as_test(AnyOrder, settings=SETTINGS)


def test_the_core_and_the_conductor_keep_their_promises_in_any_order(database_url: str) -> None:
    engine = dialect.open_engine(database_url, readers=1)
    migrate(engine)
    with dialect.for_writing(engine.connect()) as connection:

        class Stored(AnyOrder):
            def new_database(self) -> Database:
                return ComparedDatabase(connection)

        run_state_machine_as_test(Stored, settings=settings(SETTINGS, max_examples=12))
    engine.dispose()


class IgnoresEpochs(SchedulerCore):
    """Takes results of any attempt for the newest."""

    def _held(self, session_id: str, task_id: str, epoch: int) -> TaskNode | None:
        node = self.tasks.get(task_id)
        return super()._held(node.session_id, task_id, node.epoch) if node is not None else None


class Boundless(Scarce):
    """Lacks nothing."""

    def lacks(self, node: TaskNode) -> str:
        return ""


class IgnoresLimits(SchedulerCore):
    """Hands out however little is left."""

    def __init__(self, scheduler_id: str, policy: Policy, chance: Random) -> None:
        super().__init__(scheduler_id, policy, chance)
        self.hand_out.scarce = Boundless()


class Forgiving(Sessions):
    """Chooses among all."""

    def freest(self, pool: str, kind: str = "") -> Session | None:
        able = [each for each in self if each.free(pool) > 0 and kind not in each.unknown_kinds]
        return max(able, key=lambda each: each.free(pool), default=None)


class TrustsEverybody(SchedulerCore):
    """Gives work to engines that are drained."""

    def __init__(self, scheduler_id: str, policy: Policy, chance: Random) -> None:
        super().__init__(scheduler_id, policy, chance)
        self.sessions = Forgiving()


class ForgetsWhatWaits(SchedulerCore):
    """Has no alarm for a task that waits for its time."""

    def make_ready(self, node: TaskNode) -> None:
        if node.not_before <= self.now:
            super().make_ready(node)


class NeverGivesUp(SchedulerCore):
    """Hands a task out again however many engines were lost with it."""

    def __init__(self, scheduler_id: str, policy: Policy, chance: Random) -> None:
        super().__init__(scheduler_id, replace(policy, lost_attempts=99), chance)


@pytest.mark.parametrize(
    ("core", "found"),
    [
        (IgnoresEpochs, "it ended by itself"),
        (IgnoresLimits, "a limit is exceeded"),
        (TrustsEverybody, "work for an engine that is drained"),
        (ForgetsWhatWaits, "waits for nothing|waits beside"),
        (NeverGivesUp, "a quarantined task is done"),
    ],
)
def test_a_core_that_breaks_a_promise_is_found(core: type[SchedulerCore], found: str) -> None:
    broken = type(f"AnyOrderOf{core.__name__}", (AnyOrder,), {"core": core})
    with pytest.raises(AssertionError, match=found):
        run_state_machine_as_test(broken, settings=SETTINGS)
