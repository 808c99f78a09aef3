"""The command that searches over options of training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from zoo.cli.app import JSON, app, log_to_stderr
from zoo.cli.output import show_json, show_table
from zoo.cli.series import Out, training_options, with_training_flags

if TYPE_CHECKING:
    from zoo.searching import Search


@with_training_flags
def search_command(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet18 or timm:convnext_tiny.")],
    data: Annotated[str, typer.Option(metavar="PATH", help="The data, as `zoo train` takes them.")],
    space: Annotated[
        list[str],
        typer.Option(metavar="NAME=SPACE", help="lr=1e-4..1e-1:log, batch_size=16..64:16, optimizer=adam,sgd."),
    ],
    trials: Annotated[int, typer.Option(metavar="N", min=1, help="Trials that come to an end, in all.")] = 20,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of validation; the task's own if not given.")
    ] = None,
    sampler: Annotated[Literal["tpe", "random"], typer.Option(help="Whether trials are learnt from.")] = "tpe",
    pruner: Annotated[
        Literal["median", "none"], typer.Option(help="Whether trials that fall behind are ended early.")
    ] = "median",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the sampler, and of every trial.")] = 0,
    out: Out = None,
    as_json: JSON = False,
) -> None:
    """Search over any option of training, and keep a run for each trial.

    The same call with the same --out goes on where it was stopped; a larger --trials makes it longer.
    """
    from zoo.searching import search

    log_to_stderr()
    texts = {}
    for part in space:
        name, separator, text = part.partition("=")
        if not separator or not name or name in texts:
            raise ValueError(f"--space {part!r} is not of the form NAME=SPACE, or {name} is given twice.")
        texts[name] = text
    found = search(
        model, data, space=texts, trials=trials, metric=metric, sampler=sampler, pruner=pruner, seed=seed, out=out,
        progress=not as_json, **training_options(ctx, [model]),
    )  # fmt: skip
    if as_json:
        show_json({"metric": found.metric, "mode": found.mode, "best": found.best, "trials": found.trials})
    else:
        _show(found)


app.command(
    "search",
    epilog="Example: zoo search table_mlp --data rows.csv --space lr=1e-4..1e-1:log --space optimizer=adam,sgd",
)(search_command)


def _show(found: "Search") -> None:
    names = list(found.settings["space"])
    rows = [
        (
            str(trial.number), trial.state, "-" if trial.value is None else f"{trial.value:.4f}",
            *(_text(trial.parameters.get(name)) for name in names), trial.reason,
        )
        for trial in found.trials
    ]  # fmt: skip
    show_table(("trial", "state", found.metric, *names, "why"), rows)
    files = sorted(path.name for path in Path(found.directory).glob("*.*") if not path.name.startswith("."))
    typer.echo(f"search: {found.directory}   ({', '.join(files)})")
    typer.echo(f"best: {found.best.directory}   next: zoo predict {found.best.directory} FILE")


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
