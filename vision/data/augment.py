"""The random changes of training images, by the names that a reader is given, for files and for arrays alike.

The order is fixed: an image is framed (cropped, mirrored, recoloured), and the framed image of the network's size is
changed by policies, one after the other. A row's changes depend on (seed, epoch, row) alone.
Shapes: B images, C channels, H, W pixels; h, w of the crop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vision.data.jpeg import ImageFile
from vision.data.policies import Policy
from vision.data.transforms import (
    NUM_UNIFORMS,
    STRENGTHS,
    AugmentArrays,
    AugmentStrength,
    cover,
    evaluation_crop,
    training_crop,
)
from vision.parts import AUGMENTATIONS
from zoo.data.randomness import isolated_generators, seed_everything_here
from zoo.data.sources import Augmentation
from zoo.errors import check_name
from zoo.records import ImagePreprocessing

Names = str | Sequence[str]
Options = Mapping[str, Mapping[str, Any]]
SEED_BITS = 24  # that one uniform draw of float32 holds


@dataclass(frozen=True, slots=True)
class ImageChanges:
    """How training images are changed at random.

    strength: of the framing; None takes the evaluation crop.
    policies: what is done to the framed image, in their order.
    """

    strength: AugmentStrength | None
    policies: tuple[Policy, ...]

    def of_file(self, image: ImageFile, preprocessing: ImagePreprocessing) -> Tensor:
        """A random view of an image file, uint8 [C, h, w], by torch's global generator."""
        if self.strength is None:
            return self.changed(evaluation_crop(image, preprocessing))
        return self.changed(training_crop(image, preprocessing, self.strength, torch.rand(NUM_UNIFORMS)))

    def of_arrays(self, preprocessing: ImagePreprocessing) -> Augmentation:
        """The same for arrays uint8 [B, C, H, W] in memory."""
        if self.strength is not None and not self.policies:
            return AugmentArrays(preprocessing, self.strength)
        return _ChangeArrays(preprocessing, self)

    def changed(self, image: Tensor) -> Tensor:
        """A framed image uint8 [C, h, w] after all policies."""
        for policy in self.policies:
            image = policy(image)
        return image


def chosen_changes(augment: Names, options: Options | None = None) -> ImageChanges | None:
    """What the names mean; None for "none".

    augment: "none", or a name or several of `vision.parts.AUGMENTATIONS`: at most one of "light" and "standard", which
             comes first, then policies in the order in which they act.
    options: of each name, such as {"rand_augment": {"magnitude": 5}}.
    Raises:  UnknownNameError, UnknownArgumentError; ValueError for names that do not go together, or options of a name
             that is not among them.
    """
    names = [augment] if isinstance(augment, str) else list(augment)
    options = options or {}
    for name in names:
        check_name("augmentation", name, ("none", *AUGMENTATIONS))
    for name in options:
        if name not in names or name == "none":
            raise ValueError(f"There are options of the augmentation {name!r}, and it is not among {names}.")
    if names == ["none"]:
        return None
    if not names or "none" in names or len(set(names)) < len(names):
        raise ValueError(f'augment must be "none", or one name or more, each once; got {names}.')
    if any(name in STRENGTHS for name in names[1:]):
        raise ValueError(f"augment takes one of {' and '.join(STRENGTHS)}, before all else; got {names}.")
    made = {name: AUGMENTATIONS.make(name, **options.get(name, {})) for name in names}
    strength = made.pop(names[0]) if names[0] in STRENGTHS else None
    return ImageChanges(strength, tuple(made.values()))


class _ChangeArrays:
    """Framing and policies of arrays uint8 [B, C, H, W] to uint8 [B, C, h, w]."""

    num_uniforms = NUM_UNIFORMS + 2  # and two halves of a seed

    def __init__(self, preprocessing: ImagePreprocessing, changes: ImageChanges) -> None:
        self.preprocessing = preprocessing
        self.changes = changes

    def __call__(self, inputs: Tensor, uniforms: Tensor) -> Tensor:
        if self.changes.strength is None:
            framed = cover(inputs, self.preprocessing)
        else:
            framed = AugmentArrays(self.preprocessing, self.changes.strength)(inputs, uniforms)
        changed = []
        with isolated_generators():
            for image, (high, low) in zip(framed, uniforms[:, NUM_UNIFORMS:].tolist(), strict=True):
                seed_everything_here((int(high * 2**SEED_BITS) << SEED_BITS) + int(low * 2**SEED_BITS))
                changed.append(self.changes.changed(image))
        return torch.stack(changed)
