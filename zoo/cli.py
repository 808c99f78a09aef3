"""The command line: zoo list, info, train, resume, evaluate, predict, explain, weights, demo.

Each command imports what it needs when it runs, so that `zoo list` starts without torch.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zoo.errors import ZooError

app = typer.Typer(
    help="A zoo of deep-learning models, organised by task: build, fine-tune, judge, explain, resume.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

JSON = Annotated[bool, typer.Option("--json", help="Print JSON for programs in place of a table.")]
RunPath = Annotated[Path, typer.Argument(help="A run directory, such as runs/resnet18-photos-1.")]


def main() -> None:
    """Runs the command line. A user's mistake ends with its message and status 2, an interruption with 130."""
    try:
        app()
    except (ZooError, ValueError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        _fail(str(error), code=2)
    except KeyboardInterrupt as interruption:
        _fail(str(interruption) or "interrupted", code=130)


def _fail(message: str, *, code: int) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False).print("[bold red]zoo:[/]", end=" ")
    sys.stderr.write(f"{message}\n")
    raise SystemExit(code)


def _show(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def _count(number: int | None) -> str:
    """Parameters for people: 11.7 M."""
    if number is None:
        return "-"
    return f"{number / 1e6:.1f} M" if number >= 1e6 else f"{number / 1e3:.1f} k"


@app.command("list")
def list_command(
    pattern: Annotated[str, typer.Argument(help="Glob over the names, such as 'resnet*'.")] = "*",
    task: Annotated[str | None, typer.Option(help="Glob over the tasks, such as 'vision/*'.")] = None,
    max_params: Annotated[int | None, typer.Option(help="Most parameters.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Only models with trained weights.")] = False,
    licence: Annotated[str | None, typer.Option(help="Part of the licence of the weights.")] = None,
    paper: Annotated[str | None, typer.Option(help="Part of the paper's title, authors or id.")] = None,
    backend: Annotated[
        Literal["timm", "torchvision", "hf", "torchaudio"] | None, typer.Option(help="List another library's.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """List models, with task, size, weights and paper."""
    from zoo.registry import list_models, model_info

    names = list_models(
        pattern, task=task, max_params=max_params, pretrained=pretrained, licence=licence, paper=paper,
        backend=backend,
    )  # fmt: skip
    if backend is not None:
        _show(names) if as_json else sys.stdout.write("".join(f"{name}\n" for name in names))
        return
    entries = [model_info(name) for name in names]
    if as_json:
        _show(
            [
                {
                    "name": entry.name, "task": entry.task, "num_params": entry.num_params,
                    "weights": [record.tag for record in entry.weights],
                    "paper": entry.paper.id if entry.paper else None, "summary": entry.summary,
                }
                for entry in entries
            ]
        )  # fmt: skip
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "task", "params", "weights", "paper", box=None, pad_edge=False, header_style="bold")
    for entry in entries:
        tags = ", ".join(record.tag for record in entry.weights)
        table.add_row(entry.name, entry.task, _count(entry.num_params), tags or "-", str(entry.paper or "-"))
    console = Console()
    console.print(table)
    console.print(f"{len(entries)} models. `zoo info NAME` tells more; --backend timm lists another library's.")


@app.command()
def info(
    name: Annotated[str, typer.Argument(help="A model, such as resnet50 or timm:resnet50.")], as_json: JSON = False
) -> None:
    """Show all that is known of a model: paper, size, weights with licence, hash and metrics."""
    from dataclasses import asdict

    from zoo.registry import model_info

    entry = model_info(name)
    if as_json:
        _show({**asdict(entry), "builder": str(entry.builder)})
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]{entry.name}[/]  {entry.task}\n{entry.summary}")
    if entry.paper:
        console.print(f"paper       {entry.paper.title}. {entry.paper}\n            {entry.paper.url}")
    if entry.num_params is not None:
        console.print(f"parameters  {entry.num_params:,}")
    if entry.input_shape:
        console.print(f"input       {' x '.join(map(str, entry.input_shape))}")
    console.print(f"builder     {entry.builder}")
    for record in entry.weights:
        metrics = ", ".join(f"{metric} {value:g}" for metric, value in record.metrics.items())
        console.print(f"\nweights     [bold]{record.tag}[/]\n  source    {record.source}\n  sha256    {record.sha256}")
        console.print(
            f"  licence   {record.licence}\n  metrics   {metrics or '-'}\n  protocol  {record.protocol or '-'}"
        )
        console.print(f"  input     {record.preprocessing}")


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="A model, such as resnet18 or timm:convnext_tiny.")],
    data: Annotated[Path, typer.Option(help="Folder or file with the data, such as photos/<class>/*.jpg.")],
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    weights: Annotated[str, typer.Option(help="Tag, path of a file, or 'default'.")] = "default",
    strategy: Annotated[
        Literal["two_stage", "head", "gradual", "full"], typer.Option(help="How trained weights are fitted.")
    ] = "two_stage",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training data.")] = 5,
    head_epochs: Annotated[int, typer.Option(min=1, help="Passes with the body frozen, for two_stage.")] = 1,
    lr: Annotated[float, typer.Option(help="Learning rate, of the head.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows a process takes at a time.")] = 32,
    out: Annotated[Path | None, typer.Option(help="Run directory; the next free one under runs/ if not given.")] = None,
    cache_features: Annotated[
        bool, typer.Option("--cache-features", help="Compute the frozen body's features once and keep them.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Any option of the recipe, as name=value: --set ema=0.999 --set precision=bf16-mixed."
        ),
    ] = None,
    data_option: Annotated[
        list[str] | None, typer.Option("--data-set", help="Any option of the data's reader: --data-set test=0.1.")
    ] = None,
    model_option: Annotated[
        list[str] | None, typer.Option("--model-set", help="Any option of the model's builder.")
    ] = None,
    task_option: Annotated[
        list[str] | None, typer.Option("--task-set", help="Any option of the task: --task-set label_smoothing=0.1.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Devices to train on, each with a process of its own.")] = 1,
    task: Annotated[str | None, typer.Option(help="Where the model's own task is not the one wanted.")] = None,
) -> None:
    """Fine-tune trained weights on your data, or train from scratch."""
    import logging

    from zoo.training import fine_tune
    from zoo.training import train as train_function

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    shared: dict[str, Any] = {
        "task": task, "epochs": epochs, "lr": lr, "batch_size": batch_size, "out": out, "devices": devices,
        "data_options": _pairs(data_option), "model_options": _pairs(model_option),
        "task_options": _pairs(task_option), **_pairs(option),
    }  # fmt: skip
    if from_scratch:
        run = train_function(model, data, **shared)
    else:
        run = fine_tune(
            model, data, weights=weights, strategy=strategy, head_epochs=head_epochs, cache_features=cache_features,
            **shared,
        )  # fmt: skip
    _report(run)


def _pairs(options: list[str] | None) -> dict[str, Any]:
    """["lr=0.1", "ema=none"] to {"lr": 0.1, "ema": None}: values are JSON where they can be, else text."""
    pairs: dict[str, Any] = {}
    for option in options or ():
        name, separator, text = option.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{option!r} is not of the form name=value.")
        plain = {"none": "null", "true": "true", "false": "false"}.get(text.lower(), text)
        try:
            pairs[name] = json.loads(plain)
        except json.JSONDecodeError:
            pairs[name] = text
    return pairs


def _report(run: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for split, values in run.results.items():
        console.print(f"{split}: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items()))
    console.print(f"run: {run.directory}   (curves.png, confusion_*.png, metrics.jsonl, model.safetensors)")
    console.print(f"next: zoo predict {run.directory} FILE    zoo explain {run.directory} FILE")


@app.command()
def resume(run: RunPath) -> None:
    """Go on with a run that was stopped or killed, as if it had never been."""
    from zoo.training import load_run

    _report(load_run(run).resume())


@app.command()
def evaluate(
    run: RunPath,
    data: Annotated[Path | None, typer.Option(help="Other data than the run's own, read in the same way.")] = None,
    split: Annotated[Literal["train", "validation", "test"] | None, typer.Option(help="Part of the data.")] = None,
    as_json: JSON = False,
) -> None:
    """Judge a run's best weights: metrics, and a confusion matrix as a picture."""
    from zoo.training import load_run

    values = load_run(run).evaluate(data, split=split)
    if as_json:
        _show(values)
    else:
        sys.stdout.write("".join(f"{name:12} {value:.4f}\n" for name, value in values.items()))


@app.command()
def predict(
    run: RunPath,
    files: Annotated[list[Path], typer.Argument(help="One file or more.")],
    as_json: JSON = False,
) -> None:
    """Predict for files with a run's best weights."""
    from zoo.training import load_run

    predictions = load_run(run).predict(files)
    if as_json:
        _show([{"file": str(file), **found} for file, found in zip(files, predictions, strict=True)])
        return
    for file, found in zip(files, predictions, strict=True):
        best = "  ".join(f"{item['label']} {item['probability']:.3f}" for item in found.get("top", [])[:3])
        sys.stdout.write(f"{file}: {best or found}\n")


@app.command()
def explain(
    run: RunPath,
    files: Annotated[list[Path], typer.Argument(help="One file or more.")],
    method: Annotated[
        str, typer.Option(help="grad_cam, grad_cam_plus_plus, cam, smooth_grad and others.")
    ] = "grad_cam",
    target: Annotated[str | None, typer.Option(help="Class to explain; the predicted one if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("explanation.png"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
) -> None:
    """Show what in the input made a run's model answer so."""
    from zoo.training import load_run

    if out.exists() and not force:
        raise FileExistsError(f"{out} exists. Choose another --out, or --force.")
    load_run(run).explain(files, method=method, target=target).save(out)
    sys.stdout.write(f"{out}\n")


@app.command()
def weights(
    clear: Annotated[bool, typer.Option("--clear", help="Delete the files named, or all with --yes.")] = False,
    names: Annotated[list[str] | None, typer.Argument(help="Files of the list; all if none is given.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    as_json: JSON = False,
) -> None:
    """List the downloaded weights, or clear them."""
    from zoo.weights import cache_dir, cached_files, clear_cache

    files = [file for file in cached_files() if not names or file.name in names]
    if clear:
        if not yes:
            typer.confirm(f"Delete {len(files)} files ({sum(f.num_bytes for f in files) / 1e6:.1f} MB)?", abort=True)
        freed = clear_cache([file.name for file in files])
        sys.stdout.write(f"freed {freed / 1e6:.1f} MB in {cache_dir()}\n")
        return
    if as_json:
        _show([{field: getattr(file, field) for field in file.__dataclass_fields__} for file in files])
        return
    for file in files:
        sys.stdout.write(f"{file.num_bytes / 1e6:8.1f} MB  {file.name}  {file.source}\n")
    sys.stdout.write(f"{len(files)} files in {cache_dir()}\n")


@app.command()
def demo(
    name: Annotated[str, typer.Argument(help="Which domain's demo.")] = "vision",
    out: Annotated[Path, typer.Option(help="Where the demo writes.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only, to see that it runs.")] = False,
) -> None:
    """Fine-tune trained weights on real data, beside baselines, and explain the result."""
    from zoo.errors import check_name
    from zoo.registry import import_object, registry

    demos = registry().demos
    check_name("demo", name, demos)
    import_object(demos[name])(out=out, quick=quick)
