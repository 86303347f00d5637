"""``savanna plugin``: what can be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from rich.text import Text

from savanna.api.v1 import catalog_service_pb2 as pb
from savanna_cli import output
from savanna_cli.commands.style import CONTEXT, shown
from savanna_cli.output import Form

if TYPE_CHECKING:
    from savanna.plugin.v1.plugin_service_pb2 import ConfigOption, Plugin, Version
    from savanna_cli.session import Session

_PRIORITY = 1


@click.group(context_settings=CONTEXT)
def plugin() -> None:
    """The frameworks that clusters can run."""


@plugin.command("list")
@shown
@click.pass_obj
async def list_plugins(session: Session, form: Form) -> None:
    """List the plugins that answer now."""
    async with session.connect() as client:
        answer = await client.catalog.ListPlugins(pb.ListPluginsRequest())
    if form is not Form.TABLE:
        session.show_message(form, answer)
        return
    rows = [
        (each.name, each.title, ", ".join(version.version for version in each.versions))
        for each in answer.plugins
    ]
    output.show_table(session.out, ("name", "title", "versions"), rows)


@plugin.command("show")
@click.argument("name")
@click.option("--all", "every", is_flag=True, help="Show every option, not only the usual ones.")
@shown
@click.pass_obj
async def show_plugin(session: Session, name: str, every: bool, form: Form) -> None:
    """Show a plugin: versions, processes, kinds of jobs and options."""
    async with session.connect() as client:
        found = (await client.catalog.GetPlugin(pb.GetPluginRequest(name=name))).plugin
    if form is not Form.TABLE:
        session.show_message(form, found)
        return
    _tell(session, found, every=every)


def _tell(session: Session, found: Plugin, *, every: bool) -> None:
    session.out.print(Text.assemble((found.title or found.name, "bold"), f"  {found.name}"))
    if found.description:
        session.out.print(found.description)
    for version in found.versions:
        session.out.print()
        session.out.print(Text(f"version {version.version}", style="bold"))
        _tell_version(session, version, every=every)


def _tell_version(session: Session, version: Version, *, every: bool) -> None:
    processes = [
        (f"{each.service} processes", ", ".join(each.processes)) for each in version.services
    ]
    pairs = [
        *processes,
        ("jobs", ", ".join(each.name for each in version.job_types)),
        ("image tags", ", ".join(version.required_image_tags)),
    ]
    output.show(session.out, output.facts(pairs, indent=2))
    options = [each for each in version.configs if every or each.priority <= _PRIORITY]
    if options:
        session.out.print()
        heads = ("section", "option", "default", "what it does")
        output.show_table(session.out, heads, [_option(each) for each in options])
    left_out = len(version.configs) - len(options)
    if left_out:
        session.out.print(Text(f"{left_out} more options: --all", style="dim"))


def _option(each: ConfigOption) -> tuple[str, str, str, str]:
    return each.applicable_target, each.name, each.default_value, each.description
