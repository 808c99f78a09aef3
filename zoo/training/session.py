"""The frame around the steps of a run: callbacks that a recipe implies, and what is borrowed and given back."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn

from zoo.training.averaging import ExponentialMovingAverage, StochasticWeightAveraging
from zoo.training.callbacks import BestCheckpoint, Callback, EarlyStopping, EpochPictures
from zoo.training.checkpoint import random_state, restore_random_state
from zoo.training.engine import Engine
from zoo.training.loggers import CSVLogger, JSONLLogger, ProgressBar, TensorBoardLogger
from zoo.training.recipe import Recipe
from zoo.training.recomputing import recomputed_blocks
from zoo.training.sharding import full, sharded_copy


def implied_callbacks(recipe: Recipe, *, directory: Path | None, validated: bool, progress: bool) -> list[Callback]:
    """The callbacks that a recipe and a run's directory ask for.

    Raises: ValueError for early stopping where nothing is validated.
    """
    implied: list[Callback] = []
    if recipe.ema is not None:
        implied.append(ExponentialMovingAverage(decay=recipe.ema))
    if recipe.swa is not None:  # after the moving average, in place of which its own average is judged
        implied.append(StochasticWeightAveraging(start=recipe.swa, lr=recipe.swa_lr))
    if directory is not None:
        implied += [BestCheckpoint(), EpochPictures(), JSONLLogger(), CSVLogger()]
        if recipe.tensorboard:
            implied.append(TensorBoardLogger())
    if recipe.patience is not None:
        if not validated:
            raise ValueError("patience (early stopping) needs validation data, and there is none.")
        implied.append(EarlyStopping(patience=recipe.patience))
    return [*implied, ProgressBar()] if progress else implied


def named_callbacks(callbacks: Sequence[Callback]) -> list[tuple[str, Callback]]:
    """Each callback with the name that its state has in a checkpoint: "BestCheckpoint.0"."""
    names: list[tuple[str, Callback]] = []
    seen: Counter[str] = Counter()
    for callback in callbacks:
        kind = type(callback).__name__
        names.append((f"{kind}.{seen[kind]}", callback))
        seen[kind] += 1
    return names


@contextmanager
def borrowed(model: nn.Module) -> Iterator[None]:
    """Gives back what training changes beside the weights: random generators and requires_grad.

    The model is left in evaluation mode.
    """
    before = random_state()
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, requires_grad in flags:
            parameter.requires_grad_(requires_grad)
        model.eval()
        restore_random_state(before)


@contextmanager
def placed(model: nn.Module, recipe: Recipe, engine: Engine) -> Iterator[nn.Module]:
    """The model where and as it is trained: on its device, or the sharded copy whose weights it gets at the end.

    It is left on its device.
    """
    trained = model
    if engine.shards:
        trained = sharded_copy(model, engine)
    else:
        model.to(engine.device)
        if recipe.channels_last:
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with recomputed_blocks(trained) if recipe.gradient_checkpointing else nullcontext():
        yield trained
    if trained is not model:
        model.load_state_dict(full(trained.state_dict()))
        model.to(engine.device)
