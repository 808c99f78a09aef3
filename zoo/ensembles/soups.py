"""Weight soups: one model whose weights are the mean of several fine-tuned ones.

Source: Wortsman et al. 2022, arXiv:2203.05482, section 2: the uniform soup, and the greedy soup of recipe 1.
Differs from the paper: BatchNorm's running statistics, which its transformers do not have, can be computed anew over
training data, as for stochastic weight averaging: Izmailov et al. 2018, arXiv:1803.05407, section 3.2.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from zoo.data.preprocessing import FILE as FITTED
from zoo.ensembles.ensemble import Member
from zoo.errors import DataError, RunError, check_name
from zoo.training import Engine, Recipe, Run, evaluate, load_run
from zoo.training.checkpoint import save_weights, write_atomically
from zoo.training.directory import PathLike, create_directory, write_config, write_json
from zoo.training.run import CURVES, WEIGHTS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger(__name__)

BatchNorm = Literal["recompute", "average"]
Weights = Mapping[str, Tensor]
NORMS = nn.modules.batchnorm._BatchNorm


def uniform_soup(
    runs: Sequence[Run | PathLike],
    *,
    out: PathLike | None = None,
    batch_norm: BatchNorm = "recompute",
    model: nn.Module | None = None,
) -> Run:
    """The run of the mean of all weights.

    runs:       of one architecture, best fine-tuned from the same weights: the means of others are of no use.
    out:        directory of the new run; None takes the next free one under `runs/`.
    batch_norm: running statistics: computed anew over the training part of the first run's data, or the mean of the
                runs', which fits no one's activations. Without such layers it is of no account.
    model:      only for runs of a module of your own.
    Raises:     RunError for runs of different tasks or architectures.
    """
    opened, weights = _ingredients(runs, batch_norm)
    return _served(opened, range(len(opened)), mean_weights(weights), out, batch_norm, "uniform", {}, model)


def greedy_soup(
    runs: Sequence[Run | PathLike],
    *,
    out: PathLike | None = None,
    batch_norm: BatchNorm = "recompute",
    model: nn.Module | None = None,
) -> Run:
    """The run of the mean of those weights that make the soup better: the best run first, then each in turn.

    A run goes in where the validation metric, by which the task chooses its best weights, does not get worse. So the
    soup is as good as the best run there; judge it on a test part. Arguments as of `uniform_soup`.

    Raises: RunError as there, DataError without validation data.
    """
    opened, weights = _ingredients(runs, batch_norm)
    first = opened[0]
    if first.bundle.validation is None:
        raise DataError("A greedy soup is chosen on validation data, and the first run's have none.")
    sign = 1 if first.task.mode == "max" else -1
    scores = [_score(first, weight, batch_norm, model) for weight in weights]
    order = sorted(range(len(opened)), key=lambda index: (-scores[index], index))
    chosen, best = [order[0]], scores[order[0]]
    steps = [{"run": str(opened[order[0]].directory), "value": sign * best, "kept": True}]
    for index in order[1:]:
        score = _score(first, mean_weights([weights[i] for i in (*chosen, index)]), batch_norm, model)
        kept = score >= best
        if kept:
            chosen, best = [*chosen, index], score
        steps.append({"run": str(opened[index].directory), "value": sign * score, "kept": kept})
        outcome = "kept" if kept else "left out"
        logger.info("%s: %s %.4g with it, %s", opened[index].directory, first.task.monitor, sign * score, outcome)
    mean = mean_weights([weights[index] for index in chosen])
    return _served(opened, chosen, mean, out, batch_norm, "greedy", {"steps": steps}, model)


def mean_weights(weights: Sequence[Weights]) -> dict[str, Tensor]:
    """The mean of each tensor over several sets of the same names and shapes; of whole numbers that of the first."""
    mean = {}
    for name, value in weights[0].items():
        if value.is_floating_point():
            total = torch.stack([other[name].double() for other in weights]).mean(0)
            mean[name] = total.to(value.dtype)
        else:
            mean[name] = value.clone()
    return mean


def recompute_statistics(model: nn.Module, run: Run) -> None:
    """Computes the running statistics of BatchNorm anew: the mean of those of all training batches."""
    norms = [module for module in model.modules() if isinstance(module, NORMS) and module.track_running_stats]
    if not norms:
        return
    engine = Engine(Recipe(accelerator=run.recipe.accelerator), launch=False)
    momenta = [norm.momentum for norm in norms]
    model.to(engine.device).eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the batches
        norm.train()
    source, size = run.bundle.train.unaugmented(), run.recipe.batch_size
    batches = source.batches(batch_size=size, shuffle=True, seed=run.recipe.seed, drop_last=len(source) >= size)
    try:
        with torch.no_grad():
            for batch in batches:
                run.task.evaluate(model, engine.to_device(batch))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.eval()


def _ingredients(runs: Sequence[Run | PathLike], batch_norm: BatchNorm) -> tuple[list[Run], list[dict[str, Tensor]]]:
    """The runs and their weights. Raises: RunError unless all are of one task and one architecture."""
    check_name("treatment of BatchNorm", batch_norm, get_args(BatchNorm))
    opened = [run if isinstance(run, Run) else load_run(run) for run in runs]
    if len(opened) < 2:
        raise RunError("A soup is made of two runs or more.")
    weights = [_weights_of(run) for run in opened]
    first = opened[0]
    if any(not _prepare_alike(first, run) for run in opened[1:]):
        raise RunError("The runs prepare their inputs in different ways, so that no one's weights fit another's.")
    for run, held in zip(opened[1:], weights[1:], strict=True):
        if run.task.name != first.task.name or json.dumps(run.task.schema()) != json.dumps(first.task.schema()):
            raise RunError(f"{run.directory} and {first.directory} are not of the same task and classes.")
        unlike = _difference(weights[0], held)
        if unlike or run.config["model"]["name"] != first.config["model"]["name"]:
            raise RunError(
                f"{run.directory} is of another architecture than {first.directory}"
                f"{': ' + unlike if unlike else ''}. Weights can be averaged of one architecture only."
            )
    if batch_norm == "average" and any(name.endswith("running_mean") for name in weights[0]):
        logger.warning(
            "the soup averages BatchNorm's running statistics, which then fit none of its activations; "
            "batch_norm='recompute' computes them over the training data"
        )
    return opened, weights


def _prepare_alike(first: Run, other: Run) -> bool:
    """Whether two runs do the same to their inputs by what was fitted to their training rows."""
    one, two = first.fitted, other.fitted
    if one is None or two is None:
        return one is two
    same = one.name == two.name and one.tensors.keys() == two.tensors.keys()
    return same and all(torch.equal(tensor, two.tensors[name]) for name, tensor in one.tensors.items())


def _weights_of(run: Run) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    path = run.directory / WEIGHTS
    if not path.is_file():
        raise RunError(f"{run.directory} has no {WEIGHTS}: finish it first, with `zoo resume {run.directory}`.")
    return load_file(path)


def _difference(first: Weights, other: Weights) -> str:
    """What two sets of weights do not share, in words; empty where they fit."""
    for name in sorted({*first, *other}):
        if name not in first or name not in other:
            return f"only one of them has {name}"
        if first[name].shape != other[name].shape:
            return f"{name} is {list(first[name].shape)} and {list(other[name].shape)}"
    return ""


def _cooked(run: Run, weights: Weights, batch_norm: BatchNorm, model: nn.Module | None) -> nn.Module:
    """The first run's structure with other weights."""
    built = Member(run.directory, model=model).model
    unexpected = built.load_state_dict(dict(weights), strict=False).unexpected_keys  # tied tensors stand there once
    assert not unexpected, "weights of the same file format and architecture"
    if batch_norm == "recompute":
        recompute_statistics(built, run)
    return built.eval()


def _score(run: Run, weights: Weights, batch_norm: BatchNorm, model: nn.Module | None) -> float:
    """The validation metric by which the task chooses, so that more is better; the worst where it is undefined."""
    engine = Engine(Recipe(accelerator=run.recipe.accelerator), launch=False)
    built = _cooked(run, weights, batch_norm, model).to(engine.device)
    source = run.bundle.validation
    assert source is not None, "checked before"
    values, _ = evaluate(built, run.task, source.unaugmented().batches(batch_size=run.recipe.batch_size), engine=engine)
    value = values[run.task.monitor]
    return -math.inf if math.isnan(value) else value if run.task.mode == "max" else -value


def _served(
    runs: Sequence[Run],
    chosen: Sequence[int],
    weights: Weights,
    out: PathLike | None,
    batch_norm: BatchNorm,
    kind: str,
    record: Mapping[str, Any],
    model: nn.Module | None,
) -> Run:
    """Writes a run directory with the weights: the first run's configuration, finished, with its results."""
    first = runs[0]
    built = _cooked(first, weights, batch_norm, model)
    directory = create_directory(out, name=f"soup-{first.directory.name}")
    about = {"kind": kind, "batch_norm": batch_norm, "runs": [str(runs[index].directory) for index in chosen], **record}
    save_weights(directory / WEIGHTS, built.cpu())
    write_json(directory / "soup.json", about)
    parts = {name: first.config[name] for name in ("model", "task", "data", "recipe")}
    write_config(directory, parts)
    if first.fitted is not None:
        write_atomically(directory / FITTED, first.fitted.save)
    end = {"event": "end", "stage": "soup", "epoch": 0, "step": 0}
    (directory / "metrics.jsonl").write_text(json.dumps(end) + "\n", encoding="utf-8")
    soup = Run(directory, model=built if first.config["model"]["name"] is None else None, bundle=first.bundle)
    for split in ("validation", "test"):
        if split in first.bundle.parts:
            soup.evaluate(split=split)
    _figure(runs, soup).savefig(directory / CURVES, dpi=120)  # its presence says that the run is finished
    return soup


def _figure(runs: Sequence[Run], soup: Run) -> "Figure":
    """The validation metric of each run beside that of the soup."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    names = [run.directory.name for run in runs]
    values = [run.results.get("validation", {}).get(run.task.monitor, math.nan) for run in (*runs, soup)]
    axes.bar(range(len(values)), values, color=[*["C0"] * len(runs), "C1"])
    axes.set_xticks(range(len(values)), [*names, "soup"], rotation=30, ha="right", fontsize=8)
    axes.set_ylabel(f"{soup.task.monitor}, validation")
    return figure
