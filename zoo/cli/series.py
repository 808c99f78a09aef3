"""What the commands share that train several models: the flags of `zoo train`, and how they become options."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo.cli import runs
from zoo.cli.output import read_options

Out = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Directory, gone on with where it is of the same call; the next free one else."),
]
# -- Flags of `zoo train` that mean nothing for several models, or that such a command has in a form of its own.
NOT_SHARED = ("ctx", "model", "data", "out", "devices")


def with_training_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes the flags of `zoo train` beside its own, and finds them in its context."""
    own = inspect.signature(command)
    theirs = inspect.signature(runs.train).parameters.values()
    shared = [parameter for parameter in theirs if parameter.name not in (*NOT_SHARED, *own.parameters)]
    shared = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shared]

    def run(**arguments: Any) -> None:
        command(**{name: value for name, value in arguments.items() if name in own.parameters})

    mine = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own.parameters.values()]
    run.__signature__ = own.replace(parameters=[*mine, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*mine, *shared)}
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    return run


def training_options(ctx: typer.Context, models: list[str]) -> dict[str, Any]:
    """The flags of `zoo train` that were given, as options of a series, "start" among them.

    models: fine-tuning is what they start with where all have trained weights, as `zoo train` does.
    """
    from_scratch = ctx.params["from_scratch"] or not (
        any(runs._is_given(ctx, name) for name in runs.FINE_TUNING) or all(map(runs.has_weights, models))
    )
    shared = [name for name in inspect.signature(runs.train).parameters if name not in NOT_SHARED]
    hidden = [name for name in ctx.params if name not in shared]
    arguments = runs._training_arguments(ctx, from_scratch)
    if "seed" in arguments and "seed" in read_options(ctx.params["option"]):
        raise ValueError("--set seed: that is given by --seed.")
    flags = {name: value for name, value in arguments.items() if name not in hidden}
    given = {name: value for name, value in flags.items() if name not in shared or runs._is_given(ctx, name)}
    kept = {name: value for name, value in given.items() if not (name.endswith("_options") and not value)}
    return {"start": "train" if from_scratch else "fine_tune", **kept}
