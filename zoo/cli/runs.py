"""The commands around runs: train, resume, evaluate, predict, explain, demo."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli.app import JSON, RunPath, app, log_to_stderr
from zoo.cli.output import read_options, show_json
from zoo.errors import DataError, RunError, UnknownArgumentError, nearest

if TYPE_CHECKING:
    from zoo.ensembles import Ensemble
    from zoo.training import Run

# -- Arguments of zoo.train and zoo.fine_tune that have an option of their own, or none on the command line.
FLAGS = {
    "model": "the first argument", "data": "--data", "task": "--task", "weights": "--weights", "out": "--out",
    "strategy": "--strategy", "epochs": "--epochs", "head_epochs": "--head-epochs", "lr": "--lr",
    "batch_size": "--batch-size", "cache_features": "--cache-features", "devices": "--devices",
    "data_options": "--data-set", "model_options": "--model-set", "task_options": "--task-set",
}  # fmt: skip
FINE_TUNING = ("weights", "strategy", "head_epochs", "cache_features")
HIDDEN = ("callbacks", "recipe_options", "stages")

Options = list[str] | None
Items = Annotated[
    list[str], typer.Argument(metavar="ITEM", help="One file or more, or folders of them; texts where these are read.")
]

Views = Annotated[
    str | None,
    typer.Option("--tta", metavar="NAME", help="Average over views of each row, such as flip: test-time augmentation."),
]
Averaged = Annotated[Literal["probabilities", "logits"], typer.Option("--average", help="What --tta averages.")]


def sets(name: str, help: str) -> Any:
    """A flag that takes name=value, as often as it is given."""
    return typer.Option(name, metavar="NAME=VALUE", help=help)


@app.command(
    epilog="Example: zoo train resnet18 --data photos/ --epochs 10 --set ema=0.999 --data-set on_error=skip. "
    "`zoo options MODEL` lists what the four sets take."
)
def train(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Such as resnet18 or timm:convnext_tiny.")],
    data: Annotated[
        str, typer.Option(metavar="PATH", help="The data, such as a folder photos/<class>/*.jpg, or an environment.")
    ],
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")] = False,
    weights: Annotated[str, typer.Option(metavar="TAG|FILE", help="Weights to start from.")] = "default",
    strategy: Annotated[
        Literal["two_stage", "head", "gradual", "full"], typer.Option(help="How trained weights are fitted.")
    ] = "two_stage",
    epochs: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Passes over the training data; the model's own choice, else 5 or 10."),
    ] = None,
    head_epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="Passes with the body frozen before that, for two_stage.")
    ] = 1,
    lr: Annotated[
        float | None,
        typer.Option(metavar="RATE", help="Learning rate, of the head where rates differ; the model's own, else 1e-3."),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows a process takes at a time; the model's own, else 32.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Run directory; the next free one under runs/ if not given.")
    ] = None,
    cache_features: Annotated[
        bool, typer.Option("--cache-features", help="Compute the frozen body's features once and keep them.")
    ] = False,
    option: Annotated[Options, sets("--set", "Any other option of training: --set precision=bf16-mixed.")] = None,
    data_option: Annotated[Options, sets("--data-set", "Option of the data's reader: --data-set test=0.1.")] = None,
    model_option: Annotated[Options, sets("--model-set", "Option of the model's builder.")] = None,
    task_option: Annotated[Options, sets("--task-set", "Option of the task: --task-set label_smoothing=0.1.")] = None,
    devices: Annotated[
        int, typer.Option(metavar="N", min=1, help="Devices to train on, each with a process of its own.")
    ] = 1,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the model's own task is not the one wanted.")
    ] = None,
) -> None:
    """Fine-tune trained weights on your data, or train from scratch.

    A model of which the zoo has no trained weights, not of a part either, is trained from scratch.
    """
    from_scratch = from_scratch or not (any(_is_given(ctx, name) for name in FINE_TUNING) or has_weights(model))
    arguments = _training_arguments(ctx, from_scratch)
    log_to_stderr()
    _report(_train_function(from_scratch)(**arguments))


def _training_arguments(ctx: typer.Context, from_scratch: bool) -> dict[str, Any]:
    """The arguments of zoo.train or zoo.fine_tune that the command's parameters are.

    Raises: ValueError for flags that do not go together; UnknownArgumentError.
    """
    arguments = {name: value for name, value in ctx.params.items() if name != "from_scratch"}
    if from_scratch:
        given = [name for name in FINE_TUNING if _is_given(ctx, name)]
        if given:
            raise ValueError(f"{FLAGS[given[0]]} is for trained weights; leave it or --from-scratch out.")
        for name in FINE_TUNING:
            arguments.pop(name)
    elif arguments["strategy"] != "two_stage" and _is_given(ctx, "head_epochs"):
        raise ValueError(f"--head-epochs is for the strategy two_stage, not {arguments['strategy']}.")
    if arguments["batch_size"] is None:
        arguments.pop("batch_size")
    for group in ("data", "model", "task"):
        arguments[f"{group}_options"] = read_options(arguments.pop(f"{group}_option"))
    return arguments | _checked_options(read_options(arguments.pop("option")), from_scratch=from_scratch)


def has_weights(model: str) -> bool:
    """Whether fine-tuning has something to start from; of other libraries' models that is for their loaders to say."""
    from zoo.registry import model_info, split_backend

    if split_backend(model)[0] is not None:
        return True
    entry = model_info(model)
    return bool(entry.weights) or any(value is not None for value in entry.weight_arguments.values())


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _train_function(from_scratch: bool) -> "Callable[..., Run]":
    from zoo.training import fine_tune, train

    return train if from_scratch else fine_tune


def _checked_options(options: dict[str, Any], *, from_scratch: bool) -> dict[str, Any]:
    """The options of --set, each one that training takes and of the type it takes.

    Raises: UnknownArgumentError with the nearest names; ValueError for one that has a flag of its own.
    """
    import inspect

    from zoo.lookup import check_arguments
    from zoo.training.recipe import Recipe

    function = _train_function(from_scratch)
    own = [name for name in inspect.signature(function).parameters if name not in HIDDEN]
    recipe = [name for name in Recipe.option_names() if name not in HIDDEN]
    for name in options:
        if name in FLAGS:
            raise ValueError(f"--set {name}: that is given by {FLAGS[name]}.")
        if name not in own and name not in recipe:
            raise UnknownArgumentError(f"--set {name}: there is no such option. {nearest(name, (*own, *recipe))}")
    check_arguments("--set", function, {name: options[name] for name in options if name in own})
    check_arguments("--set", Recipe, {name: options[name] for name in options if name in recipe})
    return options


def _report(run: "Run") -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0:
        return  # the first process speaks for all
    for split, values in run.results.items():
        typer.echo(f"{split}: " + ", ".join(f"{name} {_number(value)}" for name, value in values.items()))
    files = sorted(path.name for path in run.directory.iterdir() if path.is_file())
    files += ["pictures/"] if (run.directory / "pictures").is_dir() else []
    typer.echo(f"run: {run.directory}   ({', '.join(files)})")
    typer.echo(f"next: zoo predict {run.directory} FILE    zoo explain {run.directory} FILE")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


@app.command(epilog="Example: zoo resume runs/resnet18-photos-1")
def resume(run: RunPath) -> None:
    """Go on with a run that was stopped, as if it had never been."""
    from zoo.training import load_run

    log_to_stderr()
    _report(load_run(run).resume())


@app.command(epilog="Example: zoo evaluate runs/resnet18-photos-1 --data more_photos/ --json")
def evaluate(
    run: RunPath,
    data: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Other data than the run's own, with the same classes.")
    ] = None,
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        typer.Option(help="Part of the data; test if there is one, else validation."),
    ] = None,
    tta: Views = None,
    average: Averaged = "probabilities",
    as_json: JSON = False,
) -> None:
    """Judge a run's best weights, or an ensemble.

    For its own data, pictures such as the confusion matrix go to the run directory.
    """
    from zoo.ensembles import open_run

    log_to_stderr()
    values = open_run(run).evaluate(data, split=split, tta=tta, average=average)
    if as_json:
        show_json(values)
    else:
        typer.echo("\n".join(f"{name:12} {_number(value)}" for name, value in values.items()))


@app.command(epilog="Example: zoo predict runs/resnet18-photos-1 cat.jpg more_photos/")
def predict(
    run: RunPath,
    items: Items,
    tta: Views = None,
    average: Averaged = "probabilities",
    as_json: JSON = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a picture of the predictions, where there is one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
) -> None:
    """Predict with a run's best weights, or with an ensemble."""
    if out is not None:
        check_picture(out, force)
    from zoo.ensembles import open_run

    log_to_stderr()
    opened = open_run(run)
    expanded = _expand(items, opened)
    found = []
    for name, prediction in _predictions(opened, expanded, tta=tta, average=average):
        if as_json:
            found.append({"file": name, **prediction})
        else:
            typer.echo(f"{name}: {opened.task.describe(prediction)}")
    if as_json:
        show_json(found)
    if out is not None:
        picture = opened.picture(expanded, tta=tta, average=average)
        if picture is None:
            raise ValueError(f"Predictions of the task {opened.task.name} have no picture; leave --out away.")
        picture.savefig(out)
        typer.echo(f"{out}", err=as_json)


def _expand(items: Sequence[str], run: "Run | Ensemble") -> list[str | Path]:
    """What was named, with folders replaced by the files in and below them that the run's task can read."""
    paths: list[str | Path] = []
    for item in items:
        if not _is_folder(item):
            paths.append(item)
            continue
        file = Path(item)
        suffixes = run.task.suffixes
        inside = sorted(path for path in file.rglob("*") if path.is_file() and not path.name.startswith("."))
        inside = [path for path in inside if not suffixes or path.suffix.lower() in suffixes]
        if not inside:
            raise DataError(f"The folder {file} holds no files that this run can read.")
        paths += inside
    return paths


def _is_folder(item: str) -> bool:
    try:
        return bool(item) and Path(item).is_dir()  # Path("") is the working directory
    except (OSError, ValueError):  # a text that no file can be called
        return False


def _predictions(
    run: "Run | Ensemble", items: Sequence[str | Path], **options: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The name of each row with its prediction, a batch of files in memory at a time."""
    step = run.recipe.batch_size
    for start in range(0, len(items), step):
        inputs = run.read_inputs(items[start : start + step])
        yield from zip(inputs.names, run.predict(inputs, **options), strict=True)


def check_picture(out: Path, force: bool) -> None:
    """Raises RunError where a picture would overwrite a file, or has no directory to go to."""
    if out.exists() and not force:
        raise RunError(f"{out} exists. Choose another --out, or overwrite it with --force.")
    if not out.absolute().parent.is_dir():
        raise RunError(f"There is no directory {out.parent} to write {out.name} into.")


@app.command(epilog="Example: zoo explain runs/resnet18-photos-1 cat.jpg --method smooth_grad --set num_samples=50")
def explain(
    run: RunPath,
    items: Items,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Over a layer: grad_cam, grad_cam_plus_plus, cam, mean_features. Over the input: saliency, "
            "input_x_gradient, smooth_grad, integrated_gradients. Tasks have more, and a choice of their own.",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(metavar="CLASS", help="Class to explain; the predicted one if not given.")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Layer to look at; found by itself if not given.")
    ] = None,
    option: Annotated[Options, sets("--set", "Option of the method: --set num_samples=50.")] = None,
    out: Annotated[Path, typer.Option(metavar="FILE", help="A picture: .png, .jpg, .pdf, .svg; of text .html.")] = Path(
        "explanation.png"
    ),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
) -> None:
    """Show what in the input made a run's model answer so.

    One picture, with a row for each file.
    """
    check_picture(out, force)
    from zoo.training import load_run

    log_to_stderr()
    opened = load_run(run)
    chosen = opened.explain(
        _expand(items, opened), method=method, target=target, layer=layer, options=read_options(option)
    )
    chosen.save(out)
    typer.echo(f"{out}")


@app.command(epilog="Example: zoo demo --out clothes")
def demo(
    name: Annotated[str, typer.Argument(metavar="DOMAIN", help="Which domain's demo.")] = "vision",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the demo writes.")] = Path("demo"),
    quick: Annotated[bool, typer.Option("--quick", help="A few steps only, to see that it runs.")] = False,
) -> None:
    """Fine-tune on real data beside baselines, and explain the result."""
    from zoo.errors import check_name
    from zoo.lookup import import_object
    from zoo.registry import registry

    demos = registry().demos
    check_name("demo", name, demos)
    import_object(demos[name])(out=out, quick=quick)
