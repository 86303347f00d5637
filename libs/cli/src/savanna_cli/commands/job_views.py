"""How jobs look to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from savanna.operation.v1.operation_pb2 import Failure
from savanna_cli import failures, output, words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from savanna.job.v1.job_pb2 import Job
    from savanna_cli.session import Session

TAIL_BYTES, TAIL_LINES = 4096, 12
"""How much of the standard error is shown of a job that failed."""


def state(each: Job) -> str:
    """Give its state in words."""
    return words.job_state(each.state)


def after(each: Job, now: datetime) -> str:
    """Give " after 4.2 s"; "" when it is not known."""
    took = words.between(each.start_time, each.end_time, now)
    return f" after {took}" if took else ""


def row(each: Job, names: Mapping[str, str], now: datetime) -> tuple[str | Text, ...]:
    """Give a line of the list."""
    word = state(each)
    return (
        each.id,
        names.get(each.job_template_id, each.job_template_id),
        names.get(each.cluster_id, each.cluster_id) or "gone",
        Text(word, style=words.style_of(word)),
        str(each.exit_code) if each.HasField("exit_code") else "",
        words.ago(each.create_time, now),
        words.between(each.start_time, each.end_time, now),
    )


def tell(session: Session, found: Job, names: Mapping[str, str]) -> None:
    """Show one."""
    word = state(found)
    session.out.print(
        Text.assemble(("job ", ""), (found.id, "bold"), "  ", (word, words.style_of(word)))
    )
    for line in found.status_description.splitlines():
        session.out.print(f"  {line}")
    kept = " (more was written than is kept)" if found.output_truncated else ""
    pairs: list[tuple[str, str | Text]] = [
        ("program", names.get(found.job_template_id, found.job_template_id)),
        ("arguments", " ".join(found.configs.args)),
        ("cluster", names.get(found.cluster_id, found.cluster_id) or "gone"),
        ("on it", found.engine_job_id),
        ("made", words.ago(found.create_time, session.now())),
        ("took", words.between(found.start_time, found.end_time, session.now())),
        ("exit code", str(found.exit_code) if found.HasField("exit_code") else ""),
        ("output", words.size(found.output_size) + kept),
        ("errors", words.size(found.error_size)),
        ("next", Text(f"savanna job output {found.id}", style="bold")),
    ]
    if found.operation_id:
        pairs.append(("", Text(f"savanna operation show {found.operation_id}", style="bold")))
    output.show(session.out, output.facts(pairs, indent=2))


def tell_failure(session: Session, ended: Job, tail: str) -> None:
    """Say why a job failed: its exit code, the last lines of its errors, what to type next."""
    session.say(f"job {ended.id} {state(ended)}{after(ended, session.now())}")
    message = ended.status_description or "the program did not end well"
    failure = Failure(reason=state(ended).upper().replace(" ", "_"), message=message)
    if ended.HasField("exit_code"):
        failure.exit_code = ended.exit_code
    failure.output_tail = tail
    failures.tell_failure(session.err, failure, f"savanna job output {ended.id} --stderr")
