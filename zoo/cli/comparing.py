"""The command that sets runs beside each other."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from zoo.cli.app import JSON, app, log_to_stderr
from zoo.cli.output import count, show_json, show_table


@app.command(epilog="Example: zoo compare runs/table_mlp-adult-1 runs/table_mlp-adult-2 --baselines")
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories of one task and the same data.")],
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Fit the task's classical models on the same rows too.")
    ] = False,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Part of the data; test if there is one, else validation."),
    ] = None,
    as_json: JSON = False,
) -> None:
    """Set runs, and classical models, beside each other in one table."""
    from zoo.training import load_run
    from zoo.training.comparison import compare as compare_runs

    log_to_stderr()
    part, lines = compare_runs([load_run(run) for run in runs], split=split, baselines=baselines)
    if as_json:
        show_json({"split": part, "contestants": lines})
        return
    names = list(dict.fromkeys(name for line in lines for name in line.values))
    rows = [
        (
            *(line.name, line.model or "-", count(line.num_params)),
            *(f"{line.values[name]:.4f}" if name in line.values else "-" for name in names),
        )
        for line in lines
    ]
    show_table((part, "model", "params", *names), rows)
