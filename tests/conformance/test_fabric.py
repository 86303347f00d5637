"""What the SSH channel does on real hosts with a real shell, beyond what every channel promises."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from savanna_engine.remote.base import Command, RemoteFile
from savanna_engine.remote.errors import FarSideFailed, RemoteError, RunLost, RunTimeout, StaleEpoch
from tests.conformance.remote_channels import at, new_run
from tests.conformance.remote_hosts import TIMEOUT, do, poll

if TYPE_CHECKING:
    from savanna_engine.remote.base import Host, RunId
    from savanna_engine.remote.fabric import FabricRemote

STOPPED = 143
HARD_TEXT = 'it\'s "quoted" $HOME `date` \\ \n\n two lines, ümläüt, 日本, \t tab \x01\x7f -n \n'


def _lines_written(remote: FabricRemote, host: Host, run: RunId, count: int) -> list[str]:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        output = poll(remote, host, run).output.decode()
        if output.count("\n") >= count:
            return output.split()
        time.sleep(0.01)
    pytest.fail("it never wrote what was awaited")


def _lives(remote: FabricRemote, host: Host, process: str) -> bool:
    # One that is dead and waits for a careless parent has the state Z.
    looked = do(remote, host, f"sed 's/.*) //' /proc/{process}/stat")
    return looked.exit_code == 0 and not looked.output.startswith(b"Z")


def test_a_script_runs_in_a_working_directory_of_its_own(remote: FabricRemote, host: Host) -> None:
    state = do(remote, host, "ls; umask; touch left; pwd")
    first, second = state.output.decode().split()
    assert first == "0022"
    assert "/.savanna/" in second


def test_files_are_put_in_place_before_the_script_begins(remote: FabricRemote, host: Host) -> None:
    target = f"/tmp/savanna-test-{new_run().operation_id}/deep/it's here"
    every_byte = bytes(range(256)) * 300
    script = f"""
sha256sum <data; stat -c %a data conf/a.conf "{target}"
cat "{target}" conf/a.conf; rm -r "${{TARGET%/deep/*}}"
"""
    state = do(
        remote,
        host,
        script,
        environment={"TARGET": target},
        files=[
            RemoteFile("data", every_byte),
            RemoteFile("conf/a.conf", b"a = 1\n", 0o644),
            RemoteFile(target, b"absolute\n", 0o755),
            RemoteFile("empty", b""),
        ],
    )
    digest = hashlib.sha256(every_byte).hexdigest()
    assert state.output.decode() == f"{digest}  -\n600\n644\n755\nabsolute\na = 1\n"
    assert state.exit_code == 0


def test_a_file_takes_the_place_of_an_older_one_at_once(remote: FabricRemote, host: Host) -> None:
    target = f"/tmp/savanna-test-{new_run().operation_id}"
    for content in (b"old, and longer\n", b"new\n"):
        files = [RemoteFile(target, content)]
        state = do(remote, host, f"cat {target}; ls {target}*", files=files)
    do(remote, host, f"rm {target}")
    assert state.output.decode() == f"new\n{target}\n"


def test_the_environment_arrives_letter_by_letter(remote: FabricRemote, host: Host) -> None:
    state = do(
        remote,
        host,
        """printf '%s|%s|%s' "$HARD" "$EMPTY" "$SAVANNA_HOST" """,
        environment={"HARD": HARD_TEXT, "EMPTY": ""},
    )
    hard, empty, mark = state.output.decode().rsplit("|", 2)
    assert (hard, empty) == (HARD_TEXT, "")
    assert mark, "what the host gives to those who log in is kept"


def test_a_script_arrives_letter_by_letter(remote: FabricRemote, host: Host) -> None:
    text = HARD_TEXT * 3000
    state = do(remote, host, f"cat <<'END'\n{text}\nEND")
    assert state.output.decode() == f"{text}\n"


@pytest.mark.parametrize(
    "command",
    [
        Command("echo \0"),
        Command("echo", environment={"A": "\0"}),
        Command("echo", environment={"A B": "1"}),
        Command("echo", environment={"A;exit": "1"}),
        Command("echo", files=[RemoteFile("../rc", b"0\n")]),
    ],
)
def test_what_no_shell_can_hold_is_refused(
    remote: FabricRemote, host: Host, command: Command
) -> None:
    with pytest.raises(RemoteError):
        remote.run(host, new_run(), command, TIMEOUT)


def test_output_may_be_long_and_hold_any_byte(remote: FabricRemote, host: Host) -> None:
    every_byte = bytes(range(256)) * 800
    state = do(remote, host, "cat data", files=[RemoteFile("data", every_byte)])
    assert state.output == every_byte


def test_of_endless_output_the_end_is_kept(remote: FabricRemote, host: Host) -> None:
    state = do(remote, host, "head -c 17000000 /dev/zero; echo last")
    assert len(state.output) == 16 * 1024 * 1024
    assert state.output.endswith(b"\0last\n")


def test_a_look_is_bounded_and_tells_the_end_with_the_last_byte(
    remote: FabricRemote, host: Host
) -> None:
    run = new_run()
    remote.start(host, run, Command("head -c 5000000 /dev/zero; echo last; exit 9"), TIMEOUT)
    read, code = b"", None
    deadline = time.monotonic() + TIMEOUT
    while code is None and time.monotonic() < deadline:
        state = poll(remote, host, run, len(read))
        assert len(state.output) <= 4 * 1024 * 1024
        read, code = read + state.output, state.exit_code
    assert (len(read), read[-5:], code) == (5000005, b"last\n", 9)


def test_streams_are_kept_in_order_or_apart(remote: FabricRemote, host: Host) -> None:
    script = "echo one; echo two >&2; echo three"
    together = do(remote, host, script)
    assert (together.output, together.errors) == (b"one\ntwo\nthree\n", b"")
    run = new_run()
    apart = remote.run(host, run, Command(script, split_streams=True), TIMEOUT)
    assert (apart.output, apart.errors) == (b"one\nthree\n", b"two\n")
    looked = remote.poll(host, run, output_offset=4, errors_offset=1, timeout=TIMEOUT)
    assert (looked.output, looked.errors, looked.exit_code) == (b"three\n", b"wo\n", 0)


def test_an_exit_by_signal_is_an_exit_code(remote: FabricRemote, host: Host) -> None:
    assert do(remote, host, "kill -KILL $$").exit_code == 137


def test_a_stop_ends_all_processes_and_waits_for_those_that_resist(
    remote: FabricRemote, host: Host
) -> None:
    run = new_run()
    script = """
sleep 300 & echo $!
bash -c 'set -m; sleep 300 & echo $!; wait' &
sh -c 'trap "" TERM; echo $$; while :; do sleep 0.05; done' &
echo $$
wait
"""
    remote.start(host, run, Command(script), TIMEOUT)
    processes = _lines_written(remote, host, run, 4)
    remote.stop(host, run, TIMEOUT)
    assert poll(remote, host, run).exit_code == STOPPED
    assert not any(_lives(remote, host, each) for each in processes)


def test_a_higher_epoch_begins_only_when_the_older_has_gone(
    remote: FabricRemote, host: Host
) -> None:
    run = new_run()
    mark = f"/tmp/savanna-test-{run.operation_id}"
    trap = f"trap 'sleep 0.3; echo gone >{mark}; exit 1' TERM"
    slow = f"{trap}; echo begun; while :; do sleep 0.05; done"
    remote.start(host, run, Command(slow), TIMEOUT)
    _lines_written(remote, host, run, 1)
    state = remote.run(host, at(run, 2), Command(f"cat {mark}; rm {mark}"), TIMEOUT)
    assert state.output == b"gone\n"


def test_a_timeout_ends_all_processes(remote: FabricRemote, host: Host) -> None:
    with pytest.raises(RunTimeout) as raised:
        remote.run(host, new_run(), Command("sleep 300 & echo $!; wait"), 0.5)
    assert not _lives(remote, host, raised.value.output.decode().strip())


def test_what_an_ended_run_left_running_is_left_alone(remote: FabricRemote, host: Host) -> None:
    run = new_run()
    daemon = Command("sleep 300 >/dev/null & echo $!")
    process = remote.run(host, run, daemon, TIMEOUT).output.decode().strip()
    remote.stop(host, run, TIMEOUT)
    remote.run(host, at(run, 2), Command("echo again"), TIMEOUT)
    assert _lives(remote, host, process)
    do(remote, host, f"kill {process}")


def test_a_run_that_lost_its_leader_is_reported_and_cleared_by_the_next(
    remote: FabricRemote, host: Host
) -> None:
    run = new_run()
    orphaned = Command("echo $$; kill -KILL $PPID; sleep 300")
    with pytest.raises(RunLost):
        remote.run(host, run, orphaned, TIMEOUT)
    with pytest.raises(RunLost):
        remote.run(host, run, orphaned, TIMEOUT)
    with pytest.raises(RunLost):
        poll(remote, host, run)
    state = remote.run(
        host, at(run, 2), Command("cat ../../1/out ../1/out || :", adopt=True), TIMEOUT
    )
    assert state.exit_code == 0
    assert not _lives(remote, host, state.output.decode().split()[-1])


def test_a_process_that_got_the_number_of_an_old_run_is_not_touched(
    remote: FabricRemote, host: Host
) -> None:
    bystander = do(remote, host, "setsid sleep 300 >/dev/null 2>&1 & echo $!").output.decode()
    run = new_run("key")
    forged = f"""
cd ~/.savanna/{run.operation_id}/key/1
read -r _ started boot <pid
echo "{bystander.strip()} $((started - 1000)) $boot" >pid
"""
    with pytest.raises(RunLost):
        remote.run(host, run, Command("kill -KILL $PPID $$"), TIMEOUT)
    assert do(remote, host, forged).exit_code == 0
    remote.stop(host, run, TIMEOUT)
    assert remote.run(host, at(run, 2), Command("echo new"), TIMEOUT).output == b"new\n"
    assert _lives(remote, host, bystander.strip())
    do(remote, host, f"kill {bystander}")


def test_a_run_of_another_boot_is_lost(remote: FabricRemote, host: Host) -> None:
    run = new_run("key")
    remote.start(host, run, Command("exec sleep 300"), TIMEOUT)
    pid_file = f"~/.savanna/{run.operation_id}/key/1/pid"
    read = do(remote, host, f"read -r pid rest <{pid_file}; echo $pid; echo $pid 1 x >{pid_file}")
    with pytest.raises(RunLost):
        poll(remote, host, run)
    assert remote.run(host, at(run, 2), Command("echo new"), TIMEOUT).output == b"new\n"
    do(remote, host, f"kill -KILL -{read.output.decode().strip()}")


def test_a_run_outlives_an_engine_that_is_killed(remote: FabricRemote, host: Host) -> None:
    run = new_run()
    command = Command("echo $$; sleep 1; echo done; exit 8")
    told = json.dumps([dataclasses.asdict(host), dataclasses.asdict(run), command.script])
    engine = subprocess.Popen([sys.executable, "-c", _ENGINE, told])
    try:
        _begun(remote, host, run)
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait(timeout=10)
    state = remote.run(host, run, command, TIMEOUT)
    process = poll(remote, host, run).output.decode().split()[0]
    assert (state.output.decode(), state.exit_code) == (f"{process}\ndone\n", 8)


_ENGINE = """
import json, sys
from savanna_engine.remote.base import Command, Host, RunId
from savanna_engine.remote.fabric import FabricRemote
host, run, script = json.loads(sys.argv[1])
FabricRemote().run(Host(**host), RunId(**run), Command(script), 20)
"""


def _begun(remote: FabricRemote, host: Host, run: RunId) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(RemoteError):
            if poll(remote, host, run).output:
                return
        time.sleep(0.02)
    pytest.fail("it never began")


def test_a_host_that_can_not_keep_the_run_says_why(remote: FabricRemote, host: Host) -> None:
    run = new_run()
    do(remote, host, f"touch ~/.savanna/{run.operation_id}")
    with pytest.raises(FarSideFailed, match="Not a directory"):
        remote.run(host, run, Command("echo never"), TIMEOUT)


def test_a_stale_attempt_with_a_large_file_is_told_so(remote: FabricRemote, host: Host) -> None:
    run = new_run(epoch=2)
    remote.run(host, run, Command("echo new"), TIMEOUT)
    old = Command("echo old", files=[RemoteFile("data", bytes(3_000_000))])
    with pytest.raises(StaleEpoch):
        remote.run(host, at(run, 1), old, TIMEOUT)
