"""``savanna operation``: what was done, is being done and will be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from savanna.api.v1 import cluster_service_pb2 as pb
from savanna_cli import output, watching, words
from savanna_cli.commands import operation_views as views
from savanna_cli.commands.style import CONTEXT, shown, watched
from savanna_cli.output import Form

if TYPE_CHECKING:
    from savanna_cli.session import Session

_PAGE = 20


@click.group(context_settings=CONTEXT)
def operation() -> None:
    """Launches, scales, deletes and runs of jobs, step by step."""


@operation.command("list")
@click.option("--cluster", "name", help="Only those of this cluster, by name or id.")
@click.option("--limit", default=_PAGE, show_default=True, help="At most so many.")
@shown
@click.pass_obj
async def list_operations(session: Session, name: str | None, limit: int, form: Form) -> None:
    """List operations, newest first."""
    async with session.connect() as client:
        cluster_id = ""
        if name:
            answer = await client.clusters.GetCluster(pb.GetClusterRequest(id=name))
            cluster_id = answer.cluster.id
        request = pb.ListOperationsRequest(page_size=limit, cluster_id=cluster_id)
        listed = await client.operations.ListOperations(request)
    if form is not Form.TABLE:
        session.show_message(form, listed)
        return
    heads = ("id", "what", "cluster", "state", "steps", "begun", "took")
    rows = [views.row(each, session.now()) for each in listed.operations]
    output.show_table(session.out, heads, rows)
    if listed.next_page_token:
        session.say(f"there are more: --limit {2 * limit}", style="dim")


@operation.command("show")
@click.argument("id")
@click.option("--all", "every", is_flag=True, help="Every step, however many there are.")
@shown
@click.pass_obj
async def show_operation(session: Session, id: str, every: bool, form: Form) -> None:
    """Show an operation as a tree: steps by title, their tries, engines, seconds and errors."""
    async with session.connect() as client:
        answer = await client.operations.GetOperation(pb.GetOperationRequest(id=id))
    if form is not Form.TABLE:
        session.show_message(form, answer)
        return
    views.tell(session, answer, every=every)


@operation.command("watch")
@click.argument("id")
@click.pass_obj
async def watch_operation(session: Session, id: str) -> int:
    """Show progress until an operation has ended; exits with 1 unless it succeeded."""
    async with session.connect() as client:
        found = await client.operation(id)
        return (await watching.follow(session, client, found, session.out)).code


@operation.command("cancel")
@click.argument("id")
@shown
@click.pass_obj
async def cancel_operation(session: Session, id: str, form: Form) -> None:
    """Ask for the end of an operation; what it made is taken back."""
    async with session.connect() as client:
        answer = await client.operations.CancelOperation(pb.CancelOperationRequest(id=id))
    if form is not Form.TABLE:
        session.show_message(form, answer.operation)
        return
    found = answer.operation
    session.out.print(Text(f"{words.goal(found)} is asked to end"))
    session.out.print(f"  savanna operation watch {found.id}")


@operation.command("retry")
@click.argument("id")
@watched
@shown
@click.pass_obj
async def retry_operation(session: Session, id: str, watch: bool, form: Form) -> int:
    """Try a launch, scale or delete again that failed or was cancelled.

    It goes on from what is missing: hosts that are well are kept.
    """
    async with session.connect() as client:
        answer = await client.operations.RetryOperation(pb.RetryOperationRequest(id=id))
        return await watching.begun(
            session, client, answer, answer.operation, watch=watch, form=form
        )


@operation.command("rollback")
@click.argument("id")
@watched
@shown
@click.pass_obj
async def rollback_operation(session: Session, id: str, watch: bool, form: Form) -> int:
    """Lead a launch or scale back, or remove what one that failed has left behind."""
    async with session.connect() as client:
        answer = await client.operations.RollbackOperation(pb.RollbackOperationRequest(id=id))
        return await watching.begun(
            session, client, answer, answer.operation, watch=watch, form=form
        )
