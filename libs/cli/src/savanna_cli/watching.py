"""Following an operation to its end on a screen, and saying how it ended."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text

from savanna.api.v1.cluster_service_pb2 import GetClusterRequest
from savanna.operation.v1.operation_pb2 import Failure, Operation
from savanna_cli import failures, live, words
from savanna_cli.output import Form
from savanna_cli.progress import Progress
from savanna_kit import errors

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_cli.session import Session
    from savanna_client import Client

_TITLES = {
    Operation.GOAL_LAUNCH: "Launching {}",
    Operation.GOAL_SCALE: "Scaling {}",
    Operation.GOAL_DELETE: "Deleting {}",
    Operation.GOAL_RUN_JOB: "Running a job on {}",
}


@dataclass(frozen=True)
class Ended:
    """An operation that has ended, and how long it took."""

    operation: Operation
    seconds: float

    @property
    def code(self) -> int:
        """The exit code that tells how it ended."""
        return 0 if self.operation.state == Operation.STATE_SUCCEEDED else failures.FAILED


async def begun(
    session: Session,
    client: Client,
    answer: Message,
    operation: Operation,
    *,
    watch: bool,
    form: Form,
) -> int:
    """Show what was stored, and with ``watch`` what becomes of it; gives the exit code."""
    if form is not Form.TABLE:
        session.show_message(form, answer)
    if watch:
        to = session.progress_console(form)
        return (await follow(session, client, operation, to)).code
    if form is Form.TABLE:
        session.out.print(f"{words.goal(operation)} has begun")
        session.out.print(f"  savanna operation watch {operation.id}")
    return 0


async def follow(session: Session, client: Client, operation: Operation, to: Console) -> Ended:
    """Show an operation until it has ended, and say how it did."""
    progress = Progress(operation.cluster_name)
    title = _TITLES.get(operation.goal, "{}").format(operation.cluster_name)
    try:
        async with live.screen(to, progress, title) as screen:
            entries = client.watch(
                operation_id=operation.id,
                on_break=lambda _: screen.note("connection lost, trying again"),
            )
            async for entry in entries:
                happening = progress.feed(entry)
                if happening is not None:
                    screen.happened(happening)
    except asyncio.CancelledError:
        session.say(
            f"the {words.goal(operation)} goes on; see it again: "
            f"savanna operation watch {operation.id}"
        )
        raise
    found = await client.operation(operation.id)
    # Of one that ended long ago nothing may be told any more.
    took = words.moment(found.end_time) - words.moment(found.create_time)
    ended = Ended(found, progress.elapsed(progress.latest) or took)
    await conclude(client, ended, to)
    return ended


async def conclude(client: Client, ended: Ended, to: Console) -> None:
    """Say in a line how an operation ended; after a failure, why and what to type next."""
    operation, took = ended.operation, words.seconds(ended.seconds)
    if operation.state == Operation.STATE_SUCCEEDED:
        to.print(await _success(client, operation, took))
        return
    word = words.operation_state(operation.state)
    to.print(
        Text.assemble(
            ("✗ " if to.is_terminal else "", "red"),
            f"{words.goal(operation)} {word} after {took}",
        )
    )
    following = f"savanna operation show {operation.id}"
    if operation.HasField("failure"):
        failures.tell_failure(to, operation.failure, following)
    else:
        why = "it was ended by wish" if word == "cancelled" else "it left no reason"
        failures.tell_failure(to, Failure(reason=word.upper(), message=why), following)


async def _success(client: Client, operation: Operation, took: str) -> Text:
    name = operation.cluster_name
    if operation.goal == Operation.GOAL_DELETE:
        return Text(f"cluster {name} is gone after {took}")
    if operation.goal == Operation.GOAL_RUN_JOB:
        return Text(f"job {operation.job_id} on {name} succeeded after {took}")
    try:
        answer = await client.clusters.GetCluster(GetClusterRequest(id=operation.cluster_id))
    except errors.NotFound:
        return Text(f"{words.goal(operation)} succeeded after {took}; it is gone since")
    state = words.cluster_state(answer.cluster.state)
    page = first_page(answer.cluster)
    return Text.assemble(
        f"cluster {name} is ",
        (state, words.style_of(state)),
        f" after {took}",
        f": {page}" if page else "",
    )


def pages(cluster: Cluster) -> list[tuple[str, str]]:
    """Give what the plugin says of a cluster, as names with addresses; web pages first."""
    found = [
        (name if name.startswith(section) else f"{section} {name}", value)
        for section, info in sorted(cluster.info.sections.items())
        for name, value in sorted(info.values.items())
    ]
    return sorted(found, key=lambda each: (not _is_page(each[1]), len(each[0])))


def first_page(cluster: Cluster) -> str:
    """Give the page to look at first, "Spark Web UI http://..."; "" for none."""
    return next((f"{name} {value}" for name, value in pages(cluster) if _is_page(value)), "")


def _is_page(value: str) -> bool:
    return value.startswith(("http://", "https://"))
