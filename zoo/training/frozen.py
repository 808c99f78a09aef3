"""Features of a frozen body: computed once, kept on disk, so that training the head alone costs next to nothing."""

import functools
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data import ArraySource, Source
from zoo.heads import head_path
from zoo.training.checkpoint import write_atomically
from zoo.training.engine import Engine
from zoo.training.recipe import Recipe

logger = logging.getLogger(__name__)


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

        fingerprint: of the data; None, where the data cannot be recognised, keeps nothing on disk.
        Raises: ValueError if something follows the head, whose output would then not be the model's.
        """
        head = model.get_submodule(head_path(model))
        sources = {"train": _unaugmented(train), "validation": validation}
        found: dict[str, Source | None] = {}
        for part, source in sources.items():
            if source is None:
                found[part] = None
                continue
            key = None if fingerprint is None else feature_key(model, source, part=part, fingerprint=fingerprint)
            read = functools.partial(_cached_features, model, head, source, recipe, engine, key)
            found[part] = ArraySource(*engine.run_first_on_leader(read))
        train_features = found["train"]
        assert train_features is not None
        return cls(head=head, train=train_features, validation=found["validation"])


def _unaugmented(source: Source) -> Source:
    plain = getattr(source, "unaugmented", None)
    return source if plain is None else plain()


def feature_key(model: nn.Module, source: Source, *, part: str, fingerprint: str) -> str:
    """64 hex digits that change with the body's structure or weights, the data, their part or preprocessing."""
    digest = hashlib.sha256()
    head = head_path(model)
    for name, value in model.state_dict().items():
        if not name.startswith(f"{head}."):
            digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
            digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    digest.update(f"{type(model).__qualname__} {part} {len(source)} {fingerprint}".encode())
    first = source[0][0]
    digest.update(torch.as_tensor(first).contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _cached_features(
    model: nn.Module, head: nn.Module, source: Source, recipe: Recipe, engine: Engine, key: str | None
) -> tuple[Tensor, Tensor]:
    from safetensors.torch import load_file, save_file

    from zoo.weights import cache_dir

    path = None if key is None else Path(cache_dir()) / "features" / f"{key}.safetensors"
    if path is not None and path.is_file():
        logger.info("frozen features read from %s", path)
        held = load_file(path)
        return held["features"], held["targets"]
    features, targets = _compute_features(model, head, source, recipe, engine)
    if path is not None:
        write_atomically(path, lambda temporary: save_file({"features": features, "targets": targets}, temporary))
    return features, targets


def _compute_features(
    model: nn.Module, head: nn.Module, source: Source, recipe: Recipe, engine: Engine
) -> tuple[Tensor, Tensor]:
    features: list[Tensor] = []
    targets: list[Tensor] = []
    was_training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), engine.autocast(), head_inputs(head) as caught:
            for batch in source.batches(batch_size=recipe.batch_size, num_workers=recipe.num_workers):
                inputs, target = engine.to_device(batch)
                output = model(inputs)
                if not features:
                    _check_head_is_last(head, caught[0], output)
                features.append(caught.pop().float().cpu())
                caught.clear()
                targets.append(target.cpu())
    finally:
        for module, training in was_training:
            module.training = training
    return torch.cat(features), torch.cat(targets)


def _check_head_is_last(head: nn.Module, features: Tensor, output: Any) -> None:
    logits = output if isinstance(output, Tensor) else getattr(output, "logits", None)
    own = head(features)
    if not isinstance(logits, Tensor) or own.shape != logits.shape or not torch.allclose(own, logits, atol=1e-3):
        raise ValueError(
            "Frozen features need a model whose last step is its head, and here something follows it. "
            "Use cache_features=False."
        )


@contextmanager
def head_inputs(head: nn.Module) -> Iterator[list[Tensor]]:
    """Inside, every input of `head` is appended to the list."""
    caught: list[Tensor] = []
    handle = head.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0].detach()))
    try:
        yield caught
    finally:
        handle.remove()
