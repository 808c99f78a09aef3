"""The command that lists losses, metrics, optimizers and all else that is had by name."""

from typing import Annotated

import typer

from zoo.cli.app import JSON, app
from zoo.cli.output import plural, show_json, show_table


@app.command("list-parts", epilog="Example: zoo list-parts --kind loss; zoo list-parts '*cycle*'")
def list_parts_command(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Glob over the names, such as 'adam*'.")] = "*",
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="One kind only, such as loss.")] = None,
    as_json: JSON = False,
) -> None:
    """List losses, metrics, optimizers and other parts of the toolkit, with their sources."""
    from zoo.registry import list_parts

    found = list_parts(pattern, kind=kind)
    if as_json:
        show_json(
            [{"kind": kind, "name": part.name, "source": part.source, "summary": part.summary} for kind, part in found]
        )
        return
    if not found:
        hint = "" if "*" in pattern or "?" in pattern else f" The pattern is a glob: try '*{pattern}*'."
        typer.echo(f"No part fits.{hint}", err=True)
        return
    show_table(
        ("kind", "name", "what it is", "source"), [(kind, part.name, part.summary, part.source) for kind, part in found]
    )
    typer.echo(plural(len(found), "part"), err=True)
