"""The commands that train or use several models together: cross-validate, and the group ensemble."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli.app import JSON, app, log_to_stderr
from zoo.cli.output import read_options, show_json, show_table
from zoo.cli.series import Out, training_options, with_training_flags

if TYPE_CHECKING:
    from zoo.ensembles import CrossValidation, Ensemble
    from zoo.training import Run

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet18 or timm:convnext_tiny.")]
Models = Annotated[list[str], typer.Argument(metavar="MODEL", help="Names of one model or more.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories of one task.")]
Data = Annotated[str, typer.Option(metavar="PATH", help="The data, as `zoo train` takes them.")]
Folds = Annotated[int, typer.Option("--folds", metavar="K", min=2, help="Parts that the rows are cut into.")]
Kind = Annotated[
    Literal["random", "stratified", "group", "stratified_group"] | None,
    typer.Option(help="Of folds; stratified for classes and random for all else if not given."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="Of rows drawn, and of every run.")]

group = typer.Typer(help="Make several models answer together.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(group, name="ensemble")


@with_training_flags
def cross_validate_command(
    ctx: typer.Context,
    model: Model,
    data: Data,
    folds: Folds = 5,
    kind: Kind = None,
    selection: Annotated[
        Literal["last", "best"], typer.Option(help="Weights that are judged: best flatters, as the fold chooses them.")
    ] = "last",
    seed: Seed = 0,
    out: Out = None,
    as_json: JSON = False,
) -> None:
    """Train on all folds but one and judge on that one, in turn.

    The same call with the same --out goes on where it was stopped.
    """
    from zoo.ensembles import cross_validate

    log_to_stderr()
    found = cross_validate(
        model, data, k=folds, kind=kind, selection=selection, seed=seed, out=out, progress=not as_json,
        **training_options(ctx, [model]),
    )  # fmt: skip
    if as_json:
        results = {"folds": found.folds, "mean": found.mean, "standard_error": found.standard_error}
        show_json({**results, "pooled": found.pooled, "directory": found.directory})
    else:
        _show_folds(found)


app.command("cross-validate", epilog="Example: zoo cross-validate table_mlp --data rows.csv --folds 5")(
    cross_validate_command
)


def _show_folds(found: "CrossValidation") -> None:
    names = list(found.mean)
    lines = [*((str(index), values) for index, values in enumerate(found.folds)), ("mean", found.mean)]
    lines += [("std error", found.standard_error)] + ([("pooled", found.pooled)] if found.pooled else [])
    rows = [(title, *(_number(values.get(name, math.nan)) for name in names)) for title, values in lines]
    show_table(("fold", *names), rows)
    files = sorted(path.name for path in found.directory.iterdir() if not path.name.startswith("."))
    typer.echo(f"cross-validation: {found.directory}   ({', '.join(files)})")


@group.command(epilog="Example: zoo ensemble average runs/a runs/b runs/c --out runs/three --weights 2,1,1")
def average(
    runs: Runs,
    weights: Annotated[str | None, typer.Option(metavar="W,W,...", help="What each run counts.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new directory.")] = None,
    as_json: JSON = False,
) -> None:
    """Average the probabilities or values of runs."""
    _combine("averaging", runs, weights, out, as_json)


@group.command(epilog="Example: zoo ensemble vote runs/a runs/b runs/c")
def vote(
    runs: Runs,
    weights: Annotated[str | None, typer.Option(metavar="W,W,...", help="What each run counts.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="A new directory.")] = None,
    as_json: JSON = False,
) -> None:
    """Take the class that most runs name."""
    _combine("voting", runs, weights, out, as_json)


def _combine(method: Any, runs: list[Path], weights: str | None, out: Path | None, as_json: bool) -> None:
    from zoo.ensembles import Ensemble

    log_to_stderr()
    try:
        numbers = None if weights is None else [float(part) for part in weights.split(",")]
    except ValueError:
        raise ValueError(f"--weights {weights} is not a list of numbers such as 2,1,1.") from None
    _report(Ensemble.of(runs, method=method, weights=numbers, out=out), as_json)


@group.command(epilog="Example: zoo ensemble soup runs/a runs/b --kind greedy")
def soup(
    runs: Runs,
    kind: Annotated[
        Literal["greedy", "uniform"], typer.Option(help="Only weights that help on validation data, or all.")
    ] = "greedy",
    batch_norm: Annotated[
        Literal["recompute", "average"], typer.Option(help="BatchNorm's running statistics.")
    ] = "recompute",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Directory of the new run.")] = None,
    as_json: JSON = False,
) -> None:
    """Average the weights of runs of one architecture into one run."""
    from zoo.ensembles import greedy_soup, uniform_soup

    log_to_stderr()
    made = (greedy_soup if kind == "greedy" else uniform_soup)(runs, out=out, batch_norm=batch_norm)
    _report(made, as_json)


@with_training_flags
def bag_command(
    ctx: typer.Context,
    model: Model,
    data: Data,
    members: Annotated[int, typer.Option(metavar="N", min=2, help="Models, each of a draw of its own.")] = 10,
    seed: Seed = 0,
    out: Out = None,
    as_json: JSON = False,
) -> None:
    """Train models on rows drawn with replacement, and average them."""
    from zoo.ensembles import bag

    log_to_stderr()
    options = training_options(ctx, [model])
    _report(bag(model, data, members=members, seed=seed, out=out, progress=not as_json, **options), as_json)


@with_training_flags
def stack_command(
    ctx: typer.Context,
    models: Models,
    data: Data,
    folds: Folds = 5,
    kind: Kind = None,
    meta: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of scikit-learn: sklearn.linear_model.Ridge, or another.")
    ] = None,
    meta_option: Annotated[
        list[str] | None, typer.Option("--meta-set", metavar="NAME=VALUE", help="Option of it.")
    ] = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: JSON = False,
) -> None:
    """Train models, and a model over what they say of rows that they have not seen."""
    from zoo.ensembles import stack

    log_to_stderr()
    _report(
        stack(
            models, data, k=folds, kind=kind, meta=meta, meta_options=read_options(meta_option), seed=seed, out=out,
            progress=not as_json, **training_options(ctx, models),
        ),
        as_json,
    )  # fmt: skip


@with_training_flags
def snapshots_command(
    ctx: typer.Context,
    model: Model,
    data: Data,
    cycles: Annotated[int, typer.Option(metavar="N", min=2, help="Falls of the learning rate.")] = 5,
    last: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Snapshots to average; all if not given.")
    ] = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: JSON = False,
) -> None:
    """Train one model whose rate restarts, and average what it was at the end of each fall."""
    from zoo.ensembles import snapshot_ensemble

    log_to_stderr()
    options = training_options(ctx, [model])
    made = snapshot_ensemble(model, data, cycles=cycles, last=last, seed=seed, out=out, progress=not as_json, **options)
    _report(made, as_json)


group.command("bag", epilog="Example: zoo ensemble bag table_mlp --data rows.csv --members 10")(bag_command)
group.command("stack", epilog="Example: zoo ensemble stack resnet18 efficientnet_lite0 --data photos/")(stack_command)
group.command("snapshots", epilog="Example: zoo ensemble snapshots resnet18 --data photos/ --cycles 5 --epochs 50")(
    snapshots_command
)


def _report(made: "Ensemble | Run", as_json: bool) -> None:
    """Judges what was made on validation and test data, and says where it is."""
    parts = [name for name in ("validation", "test") if name in made.bundle.parts]
    values = {name: made.results.get(name) or made.evaluate(split=name) for name in parts}
    if as_json:
        show_json({"directory": made.directory, "results": values})
        return
    for name, found in values.items():
        typer.echo(f"{name}: " + ", ".join(f"{title} {_number(value)}" for title, value in found.items()))
    typer.echo(f"{'ensemble' if hasattr(made, 'members') else 'run'}: {made.directory}")
    typer.echo(f"next: zoo predict {made.directory} FILE")


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"
