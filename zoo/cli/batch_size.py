"""The command that finds a batch size."""

from dataclasses import asdict
from typing import Annotated

import typer

from zoo.cli.app import JSON, app, log_to_stderr
from zoo.cli.output import read_options, show_json
from zoo.cli.runs import Options, has_weights, sets


@app.command(
    "find-batch-size",
    epilog="Example: zoo find-batch-size resnet18 --data photos/ --memory 8 --set precision=bf16-mixed; "
    "then zoo train ... --batch-size N.",
)
def find_batch_size_command(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet18 or timm:convnext_tiny.")],
    data: Annotated[str, typer.Option(metavar="PATH", help="The data, as `zoo train` takes them.")],
    memory: Annotated[
        float | None, typer.Option(metavar="GIB", help="What the process may take; needed on a CPU.")
    ] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    weights: Annotated[str, typer.Option(metavar="TAG|FILE", help="Weights to start from.")] = "default",
    trainable: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Train the last N layer groups: 1 is the head alone.")
    ] = None,
    start: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of the first trial.")] = 2,
    largest: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows to stop at; all training rows if not given.")
    ] = None,
    option: Annotated[Options, sets("--set", "Any other option of training: --set precision=bf16-mixed.")] = None,
    data_option: Annotated[Options, sets("--data-set", "Option of the data's reader.")] = None,
    model_option: Annotated[Options, sets("--model-set", "Option of the model's builder.")] = None,
    task_option: Annotated[Options, sets("--task-set", "Option of the task.")] = None,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the model's own task is not the one wanted.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """Find the largest batch size, of doubles, whose training fits into memory.

    A few steps are trained at each size; nothing is kept.
    """
    from zoo.training.batch_size import find_batch_size

    from_scratch = from_scratch or (weights == "default" and not has_weights(model))
    log_to_stderr()
    found = find_batch_size(
        model, data, task=task, weights=None if from_scratch else weights, trainable=trainable, memory_gib=memory,
        start=start, largest=largest, model_options=read_options(model_option), data_options=read_options(data_option),
        task_options=read_options(task_option), **read_options(option),
    )  # fmt: skip
    if as_json:
        show_json({**asdict(found), "limit_gib": memory})
    else:
        typer.echo(found.describe())
