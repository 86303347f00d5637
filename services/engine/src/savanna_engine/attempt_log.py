"""A file that tells of every attempt, line by line, each on disk before the attempt goes on.

It is written for those who check afterwards that nothing was lost or done twice at once: what an
engine has begun is known there even when the engine was killed a moment later.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from savanna.scheduler.v1 import scheduler_service_pb2 as stream

    What = Literal["begin", "stop", "end"]


class AttemptLog:
    """Appends to a file; several engines may share one."""

    def __init__(self, path: Path, engine_id: str) -> None:
        self._engine_id = engine_id
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def begin(self, session_id: str, assignment: stream.Assignment) -> None:
        """Tell that an attempt is about to begin."""
        self._write(
            "begin",
            session_id,
            assignment.attempt,
            operation=assignment.operation_id,
            key=assignment.key,
        )

    def stop(self, session_id: str, ref: stream.AttemptRef) -> None:
        """Tell that an attempt is told to stop."""
        self._write("stop", session_id, ref)

    def end(self, session_id: str, result: stream.Result) -> None:
        """Tell that an attempt has ended, and how."""
        outcome = result.WhichOneof("outcome") or ""
        self._write("end", session_id, result.attempt, outcome=outcome)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, what: What, session_id: str, ref: stream.AttemptRef, **more: str) -> None:
        line = {
            "what": what,
            "time": time.time(),
            "engine": self._engine_id,
            "process": os.getpid(),
            "session": session_id,
            "task": ref.task_id,
            "epoch": ref.epoch,
            **more,
        }
        # One write for each line: those of several processes do not mix.
        os.write(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file)
