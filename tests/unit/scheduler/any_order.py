"""Any order of everything that can happen to a scheduler's core, and what must hold all the time.

The machine plays engines, users, the conductor and time. What must hold is said of the rows and of
what is in the engines' hands: of nothing that the core believes.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from savanna.operation.v1 import operation_pb2
from savanna.scheduler.v1 import scheduler_service_pb2 as stream
from savanna_scheduler.core import events
from savanna_scheduler.core.policy import Policy
from savanna_scheduler.core.scheduler import SchedulerCore
from tests.unit.scheduler.database import Database
from tests.unit.scheduler.players import Attempt, Player, plan
from tests.unit.scheduler.stage import Stage

Failure = operation_pb2.Failure
Task = operation_pb2.Task
TaskSpec = operation_pb2.TaskSpec

POLICY = Policy(lost_attempts=2, distrust_accidents=1, spawn_part=3)
LIMITS = {"host/a": 1, "host/b": 2}
PROJECTS = ("p1", "p2")
TAKES = {"plan": 1, "ssh": 3, "cloud": 1}

specs: st.SearchStrategy[list[dict[str, object]]] = st.lists(
    st.builds(
        dict,
        pool=st.sampled_from(("ssh", "ssh", "cloud")),
        kind=st.sampled_from(("run", "run", "rare")),
        limit=st.sampled_from(("host/a", "", "host/b")),
        after=st.booleans(),
        priority=st.integers(0, 1),
    ),
    min_size=1,
    max_size=6,
)
endings = st.sampled_from(("succeed", "succeed", "succeed", "retry", "fail", "later", "stop"))
picks = st.integers(0, 99)


class WatchedStage(Stage):
    """Counts hand-outs of the projects while both wait for a pool that has nothing scarce."""

    def __init__(
        self,
        database: Database | None = None,
        *,
        scheduler_id: str = "s1",
        core: type[SchedulerCore] = SchedulerCore,
    ) -> None:
        super().__init__(database, scheduler_id=scheduler_id, policy=POLICY, core=core)
        self.turns: Counter[str] = Counter()
        self.counted = 0

    def _tell(self, event: events.Event) -> None:
        super()._tell(event)
        waiting = {
            node.graph.operation.project_id
            for node in self.core.hand_out.waiting()
            if node.spec.pool == "cloud"
        }
        if waiting != set(PROJECTS):
            self.turns = Counter()
            self.counted = len(self.sent_commits)
            return
        for commit in self.sent_commits[self.counted :]:
            for change in commit.changes:
                task = self.database.tasks.get(change.assign.task_id)
                if task is not None and task.spec.pool == "cloud":
                    row = self.database.operations[task.operation_id]
                    self.turns[row.message.project_id] += 1
        self.counted = len(self.sent_commits)
        assert abs(self.turns["p1"] - self.turns["p2"]) <= 2, "one has more turns than the other"


class AnyOrder(RuleBasedStateMachine):
    """Everything that can happen to a scheduler."""

    core: type[SchedulerCore] = SchedulerCore

    def __init__(self) -> None:
        super().__init__()
        self.stage: Stage = WatchedStage(self.new_database(), core=self.core)
        self.players: dict[str, Player] = {}
        """By name of the engine, its newest session."""

        self.wanted: dict[str, list[TaskSpec]] = {}
        """By id of the operation."""

        self.starts = 0
        self.takeovers = 0
        self.before: tuple[set[str], set[str], set[Attempt]] = (set(), set(), set())
        """Sessions that were connected and drained, and attempts, when it was looked last."""

    def new_database(self) -> Database:
        """Give what plays the conductor: empty."""
        return Database()

    @property
    def database(self) -> Database:
        return self.stage.database

    def _connected(self) -> list[Player]:
        return [each for each in self.players.values() if each.connected]

    def _holding(self) -> list[tuple[Player, Attempt]]:
        return [(each, attempt) for each in self._connected() for attempt in each.given]

    @initialize(asked=specs)
    def start(self, asked: list[dict[str, object]]) -> None:
        """Begin with an operation that is planned, and with two engines."""
        self.come("a", knows_all=True, room=3)
        self.begin("p1", asked)
        self.end([(0, "succeed")])
        self.come("b", knows_all=False, room=2)

    # Users.

    @precondition(lambda self: len(self.wanted) < 5)
    @rule(project=st.sampled_from(PROJECTS), asked=specs)
    def begin(self, project: str, asked: list[dict[str, object]]) -> None:
        steps: list[TaskSpec] = []
        for number, each in enumerate(asked):
            spec = TaskSpec(key=f"t{number}", kind="run", pool=str(each["pool"]))
            spec.priority = int(str(each["priority"]))
            if spec.pool == "ssh":
                spec.kind = str(each["kind"])
                if key := str(each["limit"]):
                    spec.limits[key] = LIMITS[key]
            if steps and each["after"]:
                spec.needs.append(steps[-1].key)
            steps.append(spec)
        operation_id = self.database.create(f"o{len(self.wanted)}", project)
        self.wanted[operation_id] = steps
        self._claim()

    @precondition(lambda self: self.wanted)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self.database.request_cancel(list(self.wanted)[pick % len(self.wanted)])
        self._claim()

    def _claim(self) -> None:
        self.database.renew_scheduler(self.stage.id)
        self.stage.claim()

    # Engines.

    @rule(name=st.sampled_from("abc"), knows_all=st.booleans(), room=st.integers(1, 3))
    def come(self, name: str, knows_all: bool, room: int) -> None:
        known = self.players.get(name)
        if known is None or not known.is_alive or known.leaving:
            self._start(name, {"run", "rare"} if knows_all else {"run"}, room)
        elif not known.connected:
            known.come(self.stage)

    def _start(self, name: str, kinds: set[str], room: int) -> None:
        old = self.players.get(name)
        if old is not None and old.connected:
            old.disconnect()
        if old is not None and old.is_alive and (old.given or old.unsaid):
            return
        self.starts += 1
        slots = {**TAKES, "ssh": room}
        player = Player(self.stage, f"{name}/{self.starts}", slots, name, {*kinds, "plan"})
        self.players[name] = player
        player.come(self.stage)

    @precondition(lambda self: self._holding())
    @rule(how=st.lists(st.tuples(picks, endings), min_size=1, max_size=5))
    def end(self, how: list[tuple[int, str]]) -> None:
        for pick, ending in how:
            if held := self._holding():
                self._end(*held[pick % len(held)], ending)

    def _end(self, player: Player, attempt: Attempt, ending: str) -> None:
        given = player.given[attempt]
        if given.kind not in player.kinds:
            player.decline(attempt, "UNKNOWN_KIND")
            return
        result = stream.Result()
        if ending == "stop":
            result.cancelled.SetInParent()
        elif given.kind == "plan":
            operation_id = given.operation_id
            result.succeeded.CopyFrom(plan(self.database, operation_id, self.wanted[operation_id]))
        elif ending == "later":
            result.not_yet.retry_after.FromMilliseconds(1500)
        elif ending == "succeed":
            result.succeeded.SetInParent()
        else:
            result.failed.CopyFrom(Failure(reason="BROKEN", retryable=ending == "retry"))
        player.end(attempt, result)

    @precondition(lambda self: self._holding())
    @rule(pick=picks)
    def refuse(self, pick: int) -> None:
        held = self._holding()
        player, attempt = held[pick % len(held)]
        player.decline(attempt, "STALE_OFFER")

    @precondition(lambda self: any(each.old for each in self._connected()))
    @rule(pick=picks)
    def say_again(self, pick: int) -> None:
        old = [(each, result) for each in self._connected() for result in each.old]
        player, result = old[pick % len(old)]
        player.say(result)

    @precondition(lambda self: self._connected())
    @rule(pick=picks, leaving=st.booleans())
    def disconnect(self, pick: int, leaving: bool) -> None:
        player = self._connected()[pick % len(self._connected())]
        if leaving:
            player.leaving = True
            self.stage.tell(events.Leaving(player.session_id))
        else:
            player.disconnect()

    @precondition(lambda self: self._connected())
    @rule(pick=picks)
    def crash(self, pick: int) -> None:
        """Lose an engine, while all others live on, and start it again."""
        player = self._connected()[pick % len(self._connected())]
        player.disconnect()
        self.wait(7.0, [each for each in self.players if each != player.engine_id])
        self._start(player.engine_id, player.kinds, player.slots["ssh"])

    @rule(
        seconds=st.sampled_from((0.2, 1.0, 3.0)),
        alive=st.lists(st.sampled_from("abc"), unique=True),
    )
    def wait(self, seconds: float, alive: list[str]) -> None:
        self.stage.go_on()
        beating = [self.players[each] for each in alive if each in self.players]
        self.stage.wait(seconds, *(each for each in beating if each.is_alive))
        for each in self.players.values():
            if not each.is_alive:
                # It has fenced itself.
                each.given.clear()
                each.unsaid.clear()
                if each.connected:
                    each.disconnect()

    # The conductor and other schedulers.

    @precondition(lambda self: not self.stage.holds_commits)
    @rule()
    def hold_commits(self) -> None:
        self.stage.holds_commits = True

    @precondition(lambda self: self.stage.holds_commits)
    @rule()
    def go_on(self) -> None:
        self.stage.go_on()

    @precondition(lambda self: self.stage.commits)
    @rule(stored=st.booleans())
    def lose_an_answer(self, stored: bool) -> None:
        if stored:
            self.stage.store()
        number = self.stage.commits.popleft().number
        self.stage.tell(events.CommitUnknown(number))

    @rule(number=st.integers(1, 3))
    def peers(self, number: int) -> None:
        self.stage.tell(events.Peers(number))

    @precondition(lambda self: self.takeovers < 3)
    @rule(stored=st.booleans())
    def take_over(self, stored: bool) -> None:
        """Lose the scheduler, with or without what it was storing."""
        if stored and self.stage.commits:
            self.stage.store()
        self.takeovers += 1
        self.database.release(self.stage.id)
        heir = WatchedStage(self.database, scheduler_id=f"heir{self.takeovers}", core=self.core)
        back = self._connected()
        for each in self.players.values():
            each.stage, each.connected = heir, False
        self.stage = heir
        self._claim()
        for each in back:
            if each.is_alive:
                each.come(heir)

    # What must hold.

    @invariant()
    def nothing_is_abandoned(self) -> None:
        assert not self.stage.abandoned

    @invariant()
    def nobody_has_what_another_has(self) -> None:
        owners = Counter(task_id for each in self._living() for task_id, _ in each.given)
        assert all(number == 1 for number in owners.values()), "two owners at once"

    @invariant()
    def nothing_ends_while_it_is_done(self) -> None:
        for each in self._living():
            for task_id, epoch in each.given:
                task = self.database.tasks[task_id]
                known = (task.state, task.epoch, task.session_id)
                assert known == (Task.STATE_ASSIGNED, epoch, each.session_id), "it ended by itself"

    @invariant()
    def limits_hold(self) -> None:
        taken: Counter[str] = Counter()
        for each in self._living():
            for task_id, _ in each.given:
                taken.update(list(self.database.tasks[task_id].spec.limits))
            assert all(each.free(pool) >= 0 for pool in TAKES), "more than it takes"
        assert all(taken[key] <= LIMITS[key] for key in taken), "a limit is exceeded"

    @invariant()
    def no_attempt_ends_twice(self) -> None:
        assert all(len(each) == 1 for each in self.database.ends.values())

    @invariant()
    def what_was_lost_too_often_is_given_up(self) -> None:
        held = {task_id for each in self._living() for task_id, _ in each.given}
        for task in self.database.tasks.values():
            assert task.lost_attempts <= POLICY.lost_attempts, "it was handed out again"
            quarantined = task.lost_attempts == POLICY.lost_attempts
            assert not (quarantined and task.id in held), "a quarantined task is done"

    @invariant()
    def nothing_waits_beside_an_able_engine(self) -> None:
        if self.stage.commits:
            return
        for graph in self.stage.core.operations.values():
            for task in self.database.tasks_of(graph.id):
                is_due = task.not_before_time.ToMilliseconds() / 1000 <= self.stage.now
                if task.state == Task.STATE_PENDING and is_due:
                    node = graph.tasks[task.spec.key]
                    idle = [each.session_id for each in self._idle_for(task.spec)]
                    assert not (idle and graph.may_run(node)), f"{task.id} waits beside {idle}"

    @invariant()
    def who_is_drained_gets_nothing_while_others_serve(self) -> None:
        connected = {each.session_id for each in self._connected()}
        drained = set(self.stage.core.sessions.drained)
        attempts = {(each.id, each.epoch) for each in self.database.tasks.values()}
        was_connected, was_drained, known = self.before
        self.before = (connected, drained, attempts)
        others = [each for each in self._connected() if each.session_id not in drained]
        if self.stage.holds_commits or was_connected != connected:
            return
        for task_id, _ in attempts - known:
            task = self.database.tasks[task_id]
            if task.session_id in drained & was_drained and task.state == Task.STATE_ASSIGNED:
                able = any(each.serves(task.spec) for each in others)
                assert not able, "work for an engine that is drained"

    def _living(self) -> list[Player]:
        return [each for each in self.players.values() if each.is_alive]

    def _idle_for(self, spec: TaskSpec) -> list[Player]:
        """Give the engines that must be given such a task now."""
        taken = Counter(
            key
            for each in self.database.tasks.values()
            if each.state == Task.STATE_ASSIGNED
            for key in each.spec.limits
        )
        part = self.stage.core.hand_out.scarce.schedulers
        if any(taken[key] >= max(1, limit // part) for key, limit in spec.limits.items()):
            return []
        able = [each for each in self._connected() if each.serves(spec)]
        drained = self.stage.core.sessions.drained
        trusted = [each for each in able if each.session_id not in drained]
        if not trusted and (rest := self._trusted_with(spec.pool)):
            # It is found that these do not know the kind when one of them has room.
            able = able if any(each.free(spec.pool) > 0 for each in rest) else []
        return [each for each in trusted or able if each.free(spec.pool) > 0]

    def _trusted_with(self, pool: str) -> list[Player]:
        drained = self.stage.core.sessions.drained
        trusted = (each for each in self._connected() if each.session_id not in drained)
        return [each for each in trusted if not each.leaving and each.slots.get(pool, 0)]

    def teardown(self) -> None:
        """Let everything go well from now on: then everything ends."""
        self.stage.go_on()
        for _ in range(60):
            if all(each.is_over for each in self.database.operations.values()):
                return
            self.come("able", knows_all=True, room=3)
            for player, attempt in self._holding():
                if attempt in player.given:
                    self._end(player, attempt, "succeed")
            self.wait(3.0, [each for each in self.players if self.players[each].connected])
        raise AssertionError("an operation never ends")
