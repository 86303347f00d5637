"""``savanna-manage``: the operator's command for what is made before a mesh runs."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from savanna_manage import certificates
from savanna_manage.envoy.command import envoy

_REPLACED = (
    "{}: a new authority, and the former one; give it to everybody, then run this without "
    "--new-authority to renew the leaves"
)
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT)
@click.version_option(
    package_name="savanna-manage", prog_name="savanna-manage", message="%(prog)s %(version)s"
)
def root() -> None:
    """Make what a mesh needs before it runs.

    Everything is written to files that you name; nothing is sent anywhere.
    """


@root.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.argument("roles", nargs=-1, metavar="[ROLE]...")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    help="A further name or address in each leaf; a leaf that is renewed keeps those it has.",
)
@click.option("--new-authority", is_flag=True, help="Make another authority first; see below.")
@click.option("--days", default=90, show_default=True, help="How long leaves are valid.")
@click.option("--authority-days", default=3650, show_default=True, help="And a new authority.")
def certs(
    *,
    folder: Path,
    roles: tuple[str, ...],
    hosts: tuple[str, ...],
    new_authority: bool,
    days: int,
    authority_days: int,
) -> None:
    """Make certificates in FOLDER: an authority, and a leaf for each ROLE (all of them by default).

    \b
    Run it again to renew: the authority stays, leaves are made anew, and services that run read
    them within a second. Give each service ca.pem and its own <role>.pem and <role>.key:

    \b
      SAVANNA_CONDUCTOR_TLS_AUTHORITY=FOLDER/ca.pem
      SAVANNA_CONDUCTOR_TLS_CERTIFICATE=FOLDER/conductor.pem
      SAVANNA_CONDUCTOR_TLS_KEY=FOLDER/conductor.key

    Keep ca.key where no service runs.

    \b
    To change the authority without cutting anybody off:
      1. savanna-manage certs FOLDER --new-authority makes one, and no leaf: ca.pem holds both now.
         Give it to every service and user.
      2. savanna-manage certs FOLDER renews the leaves under the new one. Give them out.
      3. Remove the second certificate from ca.pem everywhere.
    """
    unknown = sorted(set(roles) - set(certificates.ROLES))
    if unknown:
        raise click.UsageError(
            f"{', '.join(unknown)}: no such role; roles are {', '.join(certificates.ROLES)}"
        )
    if min(days, authority_days) < 1:
        raise click.UsageError("--days and --authority-days: give 1 or more")
    now = datetime.datetime.now(datetime.UTC)
    try:
        certificates.check(hosts=hosts, days=(days, authority_days), now=now)
        if new_authority:
            certificates.replace_authority(folder, days=authority_days, now=now)
            click.echo(_REPLACED.format(folder / "ca.pem"))
            return
        authority = certificates.make_authority(folder, days=authority_days, now=now)
        for role in roles or certificates.ROLES:
            named = sorted({*certificates.hosts_of(folder, role), *hosts})
            certificates.make_leaf(folder, authority, role, days=days, now=now, hosts=named)
    except (certificates.CertificateError, OSError) as error:
        raise click.ClickException(str(error)) from error
    valid = min(days, (authority.certificate.not_valid_after_utc - now).days)
    click.echo(
        f"{folder}: leaves for {', '.join(roles or certificates.ROLES)}, valid for {valid} days; "
        f"trust {folder / 'ca.pem'}, keep {folder / 'ca.key'} to yourself"
    )


root.add_command(envoy)


def main() -> None:
    """Run the command."""
    root(prog_name="savanna-manage")
