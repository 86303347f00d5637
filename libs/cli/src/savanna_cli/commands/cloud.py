"""``savanna image``, ``savanna flavor`` and ``savanna network``: what clusters are made from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from savanna.api.v1.catalog_service_pb2 import GetCloudRequest
from savanna_cli import output
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.output import Form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savanna.cluster.v1.cloud_pb2 import CloudCatalog
    from savanna_cli.session import Session


@click.group(context_settings=CONTEXT)
def image() -> None:
    """Images that hosts boot from."""


@click.group(context_settings=CONTEXT)
def flavor() -> None:
    """Sizes of hosts."""


@click.group(context_settings=CONTEXT)
def network() -> None:
    """Networks that hosts are in."""


@image.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are not registered.")
@shown
@click.pass_obj
async def list_images(session: Session, every: bool, form: Form) -> None:
    """List the registered images, and the tags by which plugins find them."""
    cloud = await _cloud(session)
    images = [each for each in cloud.images if each.username or every]
    if form is not Form.TABLE:
        _show_data(session, form, "images", [output.as_data(each) for each in images])
        return
    rows = [
        (each.name, ", ".join(each.tags), each.username, each.status, each.id) for each in images
    ]
    output.show_table(session.out, ("name", "tags", "user", "status", "id"), rows)


@flavor.command("list")
@shown
@click.pass_obj
async def list_flavors(session: Session, form: Form) -> None:
    """List the sizes of hosts that the cloud offers."""
    cloud = await _cloud(session)
    if form is not Form.TABLE:
        _show_data(session, form, "flavors", [output.as_data(each) for each in cloud.flavors])
        return
    rows = [
        (each.name, str(each.vcpus), f"{each.ram} MiB", f"{each.disk} GiB", each.id)
        for each in cloud.flavors
    ]
    output.show_table(session.out, ("name", "cpus", "memory", "disk", "id"), rows)


@network.command("list")
@shown
@click.pass_obj
async def list_networks(session: Session, form: Form) -> None:
    """List the networks of the cloud."""
    cloud = await _cloud(session)
    if form is not Form.TABLE:
        _show_data(session, form, "networks", [output.as_data(each) for each in cloud.networks])
        return
    rows = [(each.name, "yes" if each.external else "", each.id) for each in cloud.networks]
    output.show_table(session.out, ("name", "external", "id"), rows)


async def _cloud(session: Session) -> CloudCatalog:
    async with session.connect() as client:
        return (await client.catalog.GetCloud(GetCloudRequest())).cloud


def _show_data(session: Session, form: Form, name: str, data: Sequence[object]) -> None:
    output.show_data(session.out, form, {name: list(data)})
