"""Features of a frozen body: computed once, kept on disk, so that training the head alone costs next to nothing.

Features are taken in evaluation mode: dropout between body and head does not act on them, and side heads, which
only training uses, are left alone.
"""

import functools
import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data import ArraySource, Bundle, DatasetSource, Source
from zoo.data.balancing import BalancedSource, unbalanced
from zoo.heads import head_path, parts_above_body
from zoo.modes import evaluation_mode
from zoo.training.checkpoint import write_atomically
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe

logger = logging.getLogger(__name__)

PROBES = 8  # rows whose values tell one preprocessing from another
REMEDY = "Use cache_features=False."


@dataclass
class FrozenBody:
    """The head of a model, and what its body makes of the training and validation data."""

    head: nn.Module
    train: Source
    validation: Source | None

    @classmethod
    def compute(
        cls,
        model: nn.Module,
        *,
        train: Source,
        validation: Source | None,
        recipe: Recipe,
        engine: Engine,
        fingerprint: str | None,
    ) -> "FrozenBody":
        """Runs the body over the data, without augmentation, unless a file of the same features is there.

        fingerprint: of the data and how they are read, as `data_key` gives it; None or "", where they cannot be
                     recognised, keeps nothing on disk.
        Raises: ValueError if the head has no parameters, is not the last step of the model, or is not all that would
                have to train.
        """
        head = model.get_submodule(head_path(model))
        if not any(True for _ in head.parameters()):
            raise ValueError(f"The head of {type(model).__name__} has no parameters to train on features. {REMEDY}")
        row = train[0]
        if len(row) != 2 or not isinstance(row[0], Tensor):
            raise ValueError(f"Frozen features need data of one input tensor and one target a row. {REMEDY}")
        sources = {"train": train.unaugmented(), "validation": validation}
        found: dict[str, Source | None] = {}
        for part, source in sources.items():
            if source is None:
                found[part] = None
                continue
            key = feature_key(model, source, part=part, fingerprint=fingerprint, precision=recipe.precision)
            read = functools.partial(_cached_features, model, source, recipe, engine, key if fingerprint else None)
            found[part] = ArraySource(*engine.run_first_on_leader(read))
        train_features = found["train"]
        assert train_features is not None, "there is training data"
        if isinstance(train, BalancedSource):
            train_features = train.over(train_features)
        return cls(head=head, train=train_features, validation=found["validation"])


def data_key(bundle: Bundle) -> str | None:
    """A text that changes with the data of a bundle, their parts and how they are read.

    None where the inputs are not part of the bundle's fingerprint, as with a torch Dataset.
    """
    from_dataset = isinstance(unbalanced(bundle).train, DatasetSource) and not bundle.origin
    if not bundle.fingerprint or from_dataset:
        return None
    return json.dumps([bundle.fingerprint, dict(bundle.origin)], sort_keys=True, default=str)


def feature_key(
    model: nn.Module, source: Source, *, part: str, fingerprint: str | None, precision: str = "32-true"
) -> str:
    """64 hex digits that change with body, weights, data, part, preprocessing or precision."""
    digest = hashlib.sha256()
    above = tuple(f"{path}." for path in parts_above_body(model))
    for name, value in model.state_dict().items():
        if not name.startswith(above):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(_content(value))
    digest.update(f"{model} {part} {len(source)} {fingerprint} {precision}".encode())
    for row in range(0, len(source), -(-len(source) // PROBES)):
        digest.update(_content(source[row][0]))
    return digest.hexdigest()


def _content(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _cached_features(
    model: nn.Module, source: Source, recipe: Recipe, engine: Engine, key: str | None
) -> tuple[Tensor, Tensor]:
    from safetensors.torch import save_file

    from zoo.weights import cache_dir

    if key is None:
        return _compute_features(model, source, recipe, engine)
    path = Path(cache_dir()) / "features" / f"{key}.safetensors"
    held = _read(path, num_rows=len(source))
    if held is not None:
        return held
    features, targets = _compute_features(model, source, recipe, engine)
    try:
        write_atomically(path, lambda temporary: save_file({"features": features, "targets": targets}, temporary))
    except OSError as error:
        logger.warning("the frozen features were not kept for the next time: %s", error)
    return features, targets


def _read(path: Path, *, num_rows: int) -> tuple[Tensor, Tensor] | None:
    """What a file of features holds; None if there is no such file, or it is damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        return None
    try:
        held = load_file(path)
        features, targets = held["features"], held["targets"]
    except (SafetensorError, OSError, KeyError) as error:
        logger.warning("%s is damaged (%s); its frozen features are computed again", path, error)
        return None
    if not len(features) == len(targets) == num_rows:
        logger.warning("%s holds %d rows in place of %d; they are computed again", path, len(features), num_rows)
        return None
    logger.info("frozen features read from %s", path)
    return features, targets


def _compute_features(model: nn.Module, source: Source, recipe: Recipe, engine: Engine) -> tuple[Tensor, Tensor]:
    logger.info("computing the frozen features of %d rows, once", len(source))
    path = head_path(model)
    head = model.get_submodule(path)
    others = [model.get_submodule(other) for other in parts_above_body(model) if other != path]
    features: list[Tensor] = []
    targets: list[Tensor] = []
    with (
        torch.no_grad(), engine.autocast(), evaluation_mode(model), shaken(head),
        inputs_of(head) as caught, _calls_of(others) as calls,
    ):  # fmt: skip
        for batch in source.batches(batch_size=recipe.batch_size, num_workers=recipe.num_workers):
            inputs, target = engine.to_device(batch)
            output = model(inputs)
            if not features:
                _check_head_is_last(model, head, caught, output, calls)
            features.append(caught[0].float().cpu().contiguous())  # safetensors keeps no channels-last maps
            caught.clear()
            targets.append(target.cpu())
    return torch.cat(features), torch.cat(targets)


def _check_head_is_last(
    model: nn.Module, head: nn.Module, caught: Sequence[Tensor], output: Any, calls: Sequence[nn.Module]
) -> None:
    """Raises ValueError unless the output is the head's for the one input that was caught, and no other part's too."""
    name = type(model).__name__
    if len(caught) != 1:
        raise ValueError(f"{name} calls its head {len(caught)} times for a batch; frozen features need one. {REMEDY}")
    own = head(caught[0])
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    if not isinstance(logits, Tensor) or own.shape != logits.shape or not torch.allclose(own, logits, atol=1e-3):
        raise ValueError(
            f"Frozen features need a model whose last step is its head, and in {name} something follows it. {REMEDY}"
        )
    if calls:
        kind = type(calls[0]).__name__
        raise ValueError(f"Frozen features train the head alone, and {name} has a {kind} to train beside it. {REMEDY}")


@contextmanager
def inputs_of(head: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, every input of `head` is appended to the list."""
    caught: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0].detach()))
    try:
        yield caught
    finally:
        handle.remove()


@contextmanager
def _calls_of(modules: Sequence[nn.Module]) -> Iterator[list[nn.Module]]:
    """Inside, each of `modules` is appended to the list when it is called."""
    calls: list[nn.Module] = []
    handles = [module.register_forward_pre_hook(lambda called, _: calls.append(called)) for module in modules]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def shaken(head: nn.Module) -> Iterator[None]:
    """Inside, `head` has random parameters: with those of a new head, which are zero, whatever follows it is hidden."""
    generator = torch.Generator().manual_seed(0)
    kept = [(parameter, parameter.detach().clone()) for parameter in head.parameters()]
    try:
        for parameter, _ in kept:
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
        yield
    finally:
        for parameter, value in kept:
            parameter.data.copy_(value)
