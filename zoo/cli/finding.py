"""The commands that help to choose learning rates: find-lr and show-schedule."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli.app import JSON, app, log_to_stderr
from zoo.cli.output import read_options, show_json
from zoo.cli.runs import Options, check_picture, has_weights, sets

# -- Arguments of zoo.find_lr that have a flag of their own.
FLAGS = {
    "model": "the first argument", "data": "--data", "task": "--task", "weights": "--weights", "phase": "--phase",
    "trainable": "--trainable", "start": "--start", "end": "--end", "num_steps": "--steps",
    "batch_size": "--batch-size", "data_options": "--data-set", "model_options": "--model-set",
    "task_options": "--task-set",
}  # fmt: skip


@app.command(
    "find-lr",
    epilog="Example: zoo find-lr resnet18 --data photos/ --set optimizer=momentum; then zoo train ... --lr RATE.",
)
def find_lr_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet18 or timm:convnext_tiny.")],
    data: Annotated[str, typer.Option(metavar="PATH", help="The data, as `zoo train` takes them.")],
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    weights: Annotated[str, typer.Option(metavar="TAG|FILE", help="Weights to start from.")] = "default",
    trainable: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train the last N layer groups: 1 is the head alone.")
    ] = None,
    phase: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of modules that train in turn: whose rate rises."),
    ] = None,
    start: Annotated[float, typer.Option(metavar="RATE", help="Lowest rate.")] = 1e-7,
    end: Annotated[float, typer.Option(metavar="RATE", help="Highest rate.")] = 10.0,
    steps: Annotated[int, typer.Option(metavar="N", min=3, help="Optimizer steps, with a rate each.")] = 100,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows a process takes at a time; the model's own, else 32.")
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A picture of the curve.")] = Path("learning_rates.png"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
    option: Annotated[Options, sets("--set", "Any other option of training: --set precision=bf16-mixed.")] = None,
    data_option: Annotated[Options, sets("--data-set", "Option of the data's reader.")] = None,
    model_option: Annotated[Options, sets("--model-set", "Option of the model's builder.")] = None,
    task_option: Annotated[Options, sets("--task-set", "Option of the task.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the model's own task is not the one wanted.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Train at rising learning rates for a moment, and suggest one.

    Starts from what `zoo train` would start from, and keeps nothing but the picture.
    """
    from zoo.training import find_lr

    check_picture(out, force)
    options = _checked(read_options(option), {} if batch_size is None else {"batch_size": batch_size})
    from_scratch = from_scratch or (weights == "default" and not has_weights(model))
    log_to_stderr()
    curve = find_lr(
        model, data, task=task, weights=None if from_scratch else weights, trainable=trainable, phase=phase,
        start=start, end=end, num_steps=steps, model_options=read_options(model_option),
        data_options=read_options(data_option), task_options=read_options(task_option), **options,
    )  # fmt: skip
    curve.save(out)
    if as_json:
        found: dict[str, Any] = {"suggestion": curve.suggestion, "lowest": curve.lowest, "steepest": curve.steepest}
        show_json({**found, "diverged": curve.diverged, "rates": curve.rates, "losses": curve.losses})
    else:
        typer.echo(f"{curve.describe()}\npicture: {out}")


def _checked(options: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """The options of --set, each of the type that it takes, and those that have a flag of their own.

    Raises: UnknownArgumentError with the nearest names; ValueError for an option that has a flag.
    """
    from zoo.lookup import check_arguments
    from zoo.training import Recipe, find_lr

    for name in options:
        if name in FLAGS:
            raise ValueError(f"--set {name}: that is given by {FLAGS[name]}.")
    recipe = {name: value for name, value in options.items() if name in Recipe.option_names() and name != "stages"}
    check_arguments("--set", Recipe, recipe)
    check_arguments("--set", find_lr, {name: value for name, value in options.items() if name not in recipe})
    return options | flags


@app.command(
    "show-schedule",
    epilog="Example: zoo show-schedule cosine_restarts --steps 1000 --set num_cycles=4 --set warmup_steps=50",
)
def show_schedule_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as one_cycle; `zoo list-parts --kind schedule`.")],
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Optimizer steps of the run.")] = 1000,
    option: Annotated[Options, sets("--set", "Option of the schedule, or warmup_steps, warmup_start.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The picture: .png, .jpg, .pdf or .svg.")] = Path(
        "schedule.png"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
) -> None:
    """Draw a learning-rate schedule."""
    from zoo.optim import make_schedule
    from zoo.optim.pictures import schedule_figure

    check_picture(out, force)
    schedule = make_schedule(name, total_steps=steps, **read_options(option))
    if schedule.follows_validation:
        raise ValueError(f"Schedule {name!r} follows what validation finds: there is nothing to draw before a run.")
    schedule_figure(schedule, steps).savefig(out)
    typer.echo(f"{out}")
