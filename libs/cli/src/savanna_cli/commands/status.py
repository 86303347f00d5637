"""``savanna status``: how the mesh stands, for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from savanna.api.v1.mesh_service_pb2 import GetMeshStatusRequest
from savanna_cli.commands import status_views as views
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.output import Form

if TYPE_CHECKING:
    from savanna_cli.session import Session


@click.command(context_settings=CONTEXT)
@shown
@click.pass_obj
async def status(session: Session, form: Form) -> None:
    """Show the mesh: who is alive, who owns what, what waits for what and why.

    For operators: it speaks of all projects and needs the role admin.
    """
    async with session.connect() as client:
        answer = await client.mesh.GetMeshStatus(GetMeshStatusRequest())
    if form is not Form.TABLE:
        session.show_message(form, answer.status)
        return
    views.tell(session.out, answer.status)
