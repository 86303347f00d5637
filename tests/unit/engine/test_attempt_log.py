"""What an engine tells of its attempts is on disk before they go on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from savanna_engine.attempt_log import AttemptLog
from savanna_engine.session import Session
from savanna_kit.clock import ManualClock
from tests.unit.engine.attempts import Hands, assignment, settle

if TYPE_CHECKING:
    from savanna.scheduler.v1 import scheduler_service_pb2 as stream


def told(path: Path) -> list[tuple[str, str, int, str]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(each["what"], each["task"], each["epoch"], each.get("outcome", "")) for each in lines]


async def test_begin_and_end_of_an_attempt_are_told(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempts", "engine-1")
    hands = Hands()
    session = Session(hands.runner, ManualClock(), log)

    session.begin([assignment()])
    assert told(tmp_path / "attempts") == [("begin", "t1", 1, "")]
    assert hands.noted == []

    hands.may_end.set()
    await settle()
    assert told(tmp_path / "attempts")[1:] == [("end", "t1", 1, "succeeded")]
    first = json.loads((tmp_path / "attempts").read_text().splitlines()[0])
    assert (first["session"], first["engine"]) == (session.id, "engine-1")
    assert (first["operation"], first["key"]) == ("op1", "key-of-t1")
    log.close()


async def test_a_stop_is_told_before_the_attempt_has_stopped(tmp_path: Path) -> None:
    log = AttemptLog(tmp_path / "attempts", "engine-1")
    hands = Hands()
    hands.may_stop.clear()
    session = Session(hands.runner, ManualClock(), log)
    session.begin([assignment()])
    await settle()

    session.end()
    await settle()
    assert told(tmp_path / "attempts")[1:] == [("stop", "t1", 1, "")]

    hands.may_stop.set()
    await settle()
    assert told(tmp_path / "attempts")[2:] == [("end", "t1", 1, "cancelled")]
    log.close()


async def test_engines_may_share_a_file(tmp_path: Path) -> None:
    logs = [AttemptLog(tmp_path / "attempts", f"engine-{number}") for number in (1, 2)]
    for number, log in enumerate(logs):
        hands = Hands()
        hands.may_end.set()
        session = Session(hands.runner, ManualClock(), log)
        session.begin([assignment(f"t{number}")])
        await settle()
        log.close()

    assert [each[:2] for each in told(tmp_path / "attempts")] == [
        ("begin", "t0"),
        ("end", "t0"),
        ("begin", "t1"),
        ("end", "t1"),
    ]


async def test_an_attempt_that_can_not_be_told_is_not_begun_and_fails_with_what_to_do() -> None:
    log = AttemptLog(Path("/dev/full"), "engine-1")
    hands = Hands()
    said: list[stream.ConnectRequest] = []
    session = Session(hands.runner, ManualClock(), log)
    session.attach(said.append)

    session.begin([assignment()])
    await settle()

    [result] = [each for message in said for each in message.done.results]
    assert "No space left on device" in result.failed.message
    assert "make room" in result.failed.message
    assert result.failed.retryable
    assert hands.noted == []
    log.close()
