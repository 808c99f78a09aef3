"""The application that the commands are added to: errors become messages and exit statuses, logs go to stderr."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zoo.cli.scripts import plain_errors

JSON = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="A run directory, such as runs/resnet18-photos-1.")]


class Commands(TyperGroup):
    """The group of all commands. A user's mistake ends with its message and status 2, an interruption with 130."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; ZOO_TRACEBACK=1 lets its errors through."""
        with plain_errors(_say), _readable_warnings():
            return super().invoke(ctx)


app = typer.Typer(
    cls=Commands,
    help="A zoo of deep-learning models, organised by task: build, fine-tune, judge, explain, resume.",
    epilog="Example: zoo train efficientnet_lite0 --data photos/   (one sub-folder per class). "
    "ZOO_TRACEBACK=1 shows where an error came from.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Runs the command line and ends the process with its status."""
    app(prog_name="zoo")


def _show_version(wanted: bool) -> None:
    if wanted:
        import zoo

        typer.echo(f"zoo {zoo.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """What may stand before a command."""


def log_to_stderr() -> None:
    """Shows what the zoo and the task packages log; of other libraries warnings only."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from zoo.registry import CATALOG_GROUP

    packages = {point.module.partition(".")[0] for point in entry_points(group=CATALOG_GROUP)}
    for package in {"zoo", *packages}:
        logging.getLogger(package).setLevel(logging.INFO)


@contextmanager
def _readable_warnings() -> Iterator[None]:
    """Inside, a warning is one line on stderr, without the line of code it came from."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before


def _say(message: str) -> None:
    typer.secho("zoo: ", fg="red", bold=True, err=True, nl=False)
    typer.echo(message, err=True)
