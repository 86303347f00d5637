"""``savanna-manage envoy``: make, compare and try the configuration of Envoy."""

from __future__ import annotations

import difflib
import tempfile
from pathlib import Path

import click

from savanna_manage.documents import DocumentError
from savanna_manage.envoy import trial
from savanna_manage.envoy.configuration import Configuration, configuration
from savanna_manage.envoy.description import Mesh, read

_SHOWN = 40
"""Lines of a difference that are shown."""


@click.command()
@click.argument("mesh", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write there, and beside it what tells of certificates; else to standard output.",
)
@click.option("--check", is_flag=True, help="Write nothing; fail unless OUTPUT is up to date.")
@click.option("--validate", is_flag=True, help="Let the Envoy of this machine read it first.")
def envoy(mesh: Path, output: Path | None, *, check: bool, validate: bool) -> None:
    """Make the configuration of Envoy from MESH, a short description of services and addresses.

    The description is checked first: mistakes are named by file and line, with what to do. The same
    description gives the same bytes. Examples lie in deploy/envoy.

    \b
      savanna-manage envoy mesh.yaml -o envoy.yaml --validate
      envoy -c envoy.yaml
    """
    if check and output is None:
        raise click.UsageError("--check compares with a file: name it with --output")
    try:
        described = read(mesh)
    except DocumentError as error:
        raise click.ClickException(str(error)) from error
    made = configuration(described, mesh.name)
    if validate:
        _validate(described)
    if output is None:
        click.echo(made.bootstrap, nl=False)
        if made.secrets:
            click.echo(f"left out: {', '.join(made.secrets)}; --output writes them too", err=True)
    elif check:
        _compare(made, output, mesh)
    else:
        try:
            _write(made, output)
        except OSError as error:
            raise click.ClickException(f"{output} can not be written: {error}") from error
        click.echo(f"wrote {', '.join(str(each) for each in _files(made, output))}")


def _validate(described: Mesh) -> None:
    """Let Envoy read it, with all files where it finds them."""
    with tempfile.TemporaryDirectory(prefix="savanna-envoy-") as scratch:
        moved = described.model_copy(update={"folder": scratch})
        bootstrap = Path(scratch) / "envoy.yaml"
        _write(configuration(moved, "it"), bootstrap)
        try:
            trial.validate(bootstrap)
        except trial.Refused as error:
            raise click.ClickException(str(error)) from error


def _files(made: Configuration, output: Path) -> dict[Path, str]:
    """Say what stands in which file."""
    return {
        output: made.bootstrap,
        **{output.parent / name: text for name, text in made.secrets.items()},
    }


def _write(made: Configuration, output: Path) -> None:
    """Write each file whole or not at all: an Envoy that runs may read those of certificates."""
    output.parent.mkdir(parents=True, exist_ok=True)
    for path, text in _files(made, output).items():
        scratch = path.with_name(f".{path.name}.new")
        scratch.write_text(text)
        scratch.replace(path)


def _compare(made: Configuration, output: Path, mesh: Path) -> None:
    remedy = f"run savanna-manage envoy {mesh} -o {output}"
    for path, text in _files(made, output).items():
        if not path.exists():
            raise click.ClickException(f"{path} is missing: {remedy}")
        differences = difflib.unified_diff(
            path.read_text().splitlines(),
            text.splitlines(),
            str(path),
            f"what {mesh} gives",
            lineterm="",
            n=1,
        )
        lines = list(differences)
        if lines:
            rest = [f"... and {len(lines) - _SHOWN} lines more"] if len(lines) > _SHOWN else []
            told = "\n".join([*lines[:_SHOWN], *rest])
            raise click.ClickException(f"{path} is not what {mesh} gives: {remedy}\n{told}")
    click.echo(f"{output} is what {mesh} gives")
