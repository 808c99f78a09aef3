"""The commands that look things up: list, info, weights. None of them imports torch for the zoo's own models."""

from typing import Annotated, Literal

import typer

from zoo.cli.app import JSON, app
from zoo.cli.output import count, describe, plural, show_json, show_table, size
from zoo.records import Entry, Weights


@app.command("list", epilog="Example: zoo list 'res*' --pretrained --max-params 30000000")
def list_command(
    pattern: Annotated[str, typer.Argument(metavar="PATTERN", help="Glob over the names, such as 'resnet*'.")] = "*",
    task: Annotated[str | None, typer.Option(metavar="GLOB", help="Over the tasks, such as 'vision/*'.")] = None,
    max_params: Annotated[int | None, typer.Option(metavar="N", min=0, help="Most parameters.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Only models with trained weights.")] = False,
    licence: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of the licence of the weights.")] = None,
    paper: Annotated[str | None, typer.Option(metavar="TEXT", help="Part of the paper's title, authors or id.")] = None,
    backend: Annotated[
        Literal["timm", "torchvision", "hf", "torchaudio"] | None, typer.Option(help="List another library's models.")
    ] = None,
    as_json: JSON = False,
) -> None:
    """List models, with task, size, weights and paper."""
    from zoo.registry import list_models, model_info

    names = list_models(
        pattern, task=task, max_params=max_params, pretrained=pretrained, licence=licence, paper=paper,
        backend=backend,
    )  # fmt: skip
    if as_json:
        show_json(names if backend is not None else [_summary(model_info(name)) for name in names])
        return
    if not names:
        hint = "" if "*" in pattern or "?" in pattern else f" The pattern is a glob: try '{pattern}*' or '*{pattern}*'."
        if backend == "hf":
            hint = " Only what lies in this machine's Hugging Face cache is listed; hf:owner/name builds any other."
        typer.echo(f"No model fits.{hint}", err=True)
    elif backend is not None:
        typer.echo("\n".join(names))
    else:
        entries = [model_info(name) for name in names]
        show_table(("name", "task", "params", "weights", "paper"), [_row(entry) for entry in entries])
        typer.echo(
            f"{plural(len(names), 'model')}; `zoo info NAME` tells more, --backend timm lists another library's",
            err=True,
        )


def _row(entry: Entry) -> tuple[str, ...]:
    tags = ",".join(record.tag for record in entry.weights)
    return entry.name, entry.task, count(entry.num_params), tags or "-", str(entry.paper or "-")


def _summary(entry: Entry) -> dict[str, object]:
    return {
        "name": entry.name,
        "task": entry.task,
        "num_params": entry.num_params,
        "weights": [record.tag for record in entry.weights],
        "licences": [record.licence for record in entry.weights],
        "paper": entry.paper.id if entry.paper else None,
        "summary": entry.summary,
    }


@app.command(epilog="Example: zoo info resnet50")
def info(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet50 or timm:resnet50.")],
    as_json: JSON = False,
) -> None:
    """Show a model's paper, size, and weights with licence and metrics."""
    from zoo.registry import model_info, registry

    entry = model_info(name)
    if as_json:
        show_json(entry)
        return
    rows = [("task", entry.task)]
    if entry.paper:
        rows += [("paper", f"{entry.paper.title}. {entry.paper}"), ("", entry.paper.url)]
    if entry.num_params is not None:
        rows.append(("parameters", f"{entry.num_params:,}"))
    if entry.input_shape:
        rows.append(("input", describe(entry.input_shape)))
    known = registry().tasks.get(entry.task)
    if known is not None:
        rows.append(("data", known.summary))
    rows.append(("builder", str(entry.builder)))
    if entry.config:
        rows.append(("built with", ", ".join(f"{key}={value!r}" for key, value in entry.config.items())))
    typer.secho(entry.name, bold=True, nl=False)
    typer.echo(f"  {entry.summary}")
    _show_rows(rows)
    for record in entry.weights:
        typer.echo()
        _show_rows(_weights_rows(record))
    typer.echo(f"\nnext: zoo train {name} --data DATA", err=True)


def _weights_rows(record: Weights) -> list[tuple[str, str]]:
    metrics = ", ".join(f"{metric} {value:g}" for metric, value in record.metrics.items())
    return [
        ("weights", record.tag),
        ("  source", record.source),
        ("  sha256", record.sha256 or "-"),
        ("  licence", record.licence or "-"),
        ("  metrics", metrics or "-"),
        ("  protocol", record.protocol or "-"),
        ("  input", describe(record.preprocessing)),
    ]


def _show_rows(rows: list[tuple[str, str]]) -> None:
    typer.echo("\n".join(f"{title:10}  {text}" for title, text in rows))


@app.command(epilog="Example: zoo weights --clear resnet18-f37072fd.pth")
def weights(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Files of the list; all if none is given.")
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Delete the files.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    as_json: JSON = False,
) -> None:
    """List the downloaded weights, or clear them."""
    from zoo.errors import check_name
    from zoo.weights import cache_dir, cached_files, clear_cache

    files = cached_files()
    if names:
        for name in names:
            check_name("cached file", name, [*(file.name for file in files), *(file.path.name for file in files)])
        files = [file for file in files if file.name in names or file.path.name in names]
    total = size(sum(file.num_bytes for file in files))
    if clear:
        if files and not yes:
            typer.confirm(f"Delete {plural(len(files), 'file')} ({total}) in {cache_dir()}?", abort=True, err=True)
        freed = clear_cache([file.name for file in files])
        typer.echo(f"freed {size(freed)} in {cache_dir()}", err=as_json)
        files = cached_files() if as_json else []
    if as_json:
        show_json(files)
    elif not clear:
        if files:
            rows = [(size(file.num_bytes), file.name, file.source) for file in files]
            show_table(("size", "name", "source"), rows)
        typer.echo(f"{plural(len(files), 'file')}, {total}, in {cache_dir()}", err=True)
