"""Generation of images by two players: a generator draws them, a discriminator or critic scores them.

Shapes: B images, D size of the noise, C channels, H, W pixels.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from vision.data.listing import EXTENSIONS
from vision.data.transforms import preprocessing_from
from vision.generation.baselines import DRAWS, Draw, distance_of
from vision.generation.features import RandomFeatures, load_classifier, num_features
from vision.generation.gan import noise_of
from vision.generation.rows import IMAGE_DIMS, Rows, hashes_of, rows_of
from zoo.data import Bundle
from zoo.errors import DataError
from zoo.losses import gradient_penalty, make_adversarial_loss, r1_penalty
from zoo.metrics import Metric
from zoo.metrics.frechet import FrechetDistance
from zoo.optim import Schedule, make_optimizer, takes_fused
from zoo.records import Entry, ImagePreprocessing
from zoo.training import Batch, Inputs, Item, Losses, Phase, Prediction, Recipe, Task, evaluation_mode
from zoo.training.task import ParameterGroups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from zoo.explanation import Explanation

GRID = 64  # samples in the picture of an epoch


class ImageGeneration(Task):
    """Trains modules with a `generator` and a `discriminator`, as vision.generation.gan.GAN, and judges them by FID.

    The FID is in the features of a classifier of the same kind of images, or of a network with random weights; its name
    among the metrics says which. Neither compares with published values, which are in Inception's features.

    input_shape:      of one image, [C, H, W].
    preprocessing:    how image files become inputs in -1..1; None if the data are arrays.
    loss:             a name in zoo.losses.ADVERSARIAL_LOSSES.
    gradient_penalty: factor lambda on Gulrajani's penalty; 0 for none.
    r1:               factor gamma on Mescheder's, of which half is taken; 0 for none.
    critic_steps:     updates of the discriminator from one of the generator to the next.
    fid_classifier:   directory of a run of vision/classification, whose model's features are compared; None for the
                      features of a network with random weights, which tell much less.
    """

    name = "vision/generation"
    mode: Literal["min", "max"] = "min"
    suffixes = EXTENSIONS

    def __init__(
        self,
        *,
        input_shape: Sequence[int],
        preprocessing: ImagePreprocessing | Mapping[str, Any] | None = None,
        loss: str = "non_saturating",
        gradient_penalty: float = 0.0,
        r1: float = 0.0,
        critic_steps: int = 1,
        fid_classifier: str | Path | None = None,
    ) -> None:
        if len(input_shape) != IMAGE_DIMS:
            raise DataError(f"Images of the shape [C, H, W] are needed, got {list(input_shape)}.")
        if not (gradient_penalty >= 0 and r1 >= 0):
            raise ValueError(f"gradient_penalty and r1 are factors from 0 up, got {gradient_penalty} and {r1}.")
        if critic_steps < 1:
            raise ValueError(f"critic_steps is {critic_steps}; at least 1 update of the discriminator is needed.")
        self.input_shape = tuple(input_shape)
        self.preprocessing = None if preprocessing is None else preprocessing_from(preprocessing)
        self.loss = loss
        self.gradient_penalty = gradient_penalty
        self.r1 = r1
        self.critic_steps = critic_steps
        self.fid_classifier = None if fid_classifier is None else str(Path(fid_classifier).absolute())
        self.monitor = "fid_random_features" if fid_classifier is None else "fid_own_classifier"
        self._loss = make_adversarial_loss(loss)

    @classmethod
    def from_bundle(cls, bundle: Bundle, **options: Any) -> "ImageGeneration":
        """The task for the shape and preprocessing of a bundle whose rows begin with an image in -1..1."""
        image = bundle.train[0][0]
        if not isinstance(image, Tensor) or image.ndim != IMAGE_DIMS or not image.is_floating_point():
            came = f"{image.dtype} {list(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
            raise DataError(f"Generation needs images [C, H, W] of floats in -1..1, got {came}.")
        if not (image.min() >= -1 and image.max() <= 1):
            raise DataError(
                f"Generators draw in -1..1, and these images reach from {image.min():.3g} to {image.max():.3g}: scale "
                "them, or give the bundle a transform such as lambda images: images / 127.5 - 1."
            )
        return cls(input_shape=tuple(image.shape), preprocessing=bundle.preprocessing, **options)

    def schema(self) -> dict[str, Any]:
        return {
            "input_shape": list(self.input_shape),
            "preprocessing": None if self.preprocessing is None else asdict(self.preprocessing),
            "loss": self.loss,
            "gradient_penalty": self.gradient_penalty,
            "r1": self.r1,
            "critic_steps": self.critic_steps,
            "fid_classifier": self.fid_classifier,
        }

    def model_arguments(self, entry: Entry) -> dict[str, Any]:
        channels, height, width = self.input_shape
        if height != width:
            raise DataError(f"The generators of the zoo draw squares; these images have {height} x {width} pixels.")
        return {"image_size": height, "channels": channels}

    def reading(self) -> dict[str, Any]:
        return {"size": self.input_shape[1], "channels": self.input_shape[0]}

    def check_bundle(self, bundle: Bundle) -> None:
        if tuple(bundle.train[0][0].shape) != self.input_shape:
            raise DataError(
                f"The run draws images {list(self.input_shape)}; these are {list(bundle.train[0][0].shape)}."
            )

    # -- Training

    def modules(self, model: nn.Module) -> dict[str, nn.Module]:
        return {name: model.get_submodule(name) for name in ("discriminator", "generator")}

    def phases(
        self, modules: Mapping[str, nn.Module], groups: ParameterGroups, schedule: Schedule, recipe: Recipe
    ) -> list[Phase]:
        generator, discriminator = modules["generator"], modules["discriminator"]
        if self.gradient_penalty or self.r1:
            _check_penalty(discriminator)
        losses: dict[str, Callable[[Batch], Losses]] = {
            "discriminator": functools.partial(self.discriminator_losses, generator, discriminator),
            "generator": functools.partial(self.generator_losses, generator, discriminator),
        }
        options = dict(recipe.optimizer_options)
        if recipe.precision == "16-mixed" and recipe.clip_norm is not None and takes_fused(recipe.optimizer):
            options.setdefault("fused", False)  # fused kernels unscale gradients themselves, too late to clip them
        phases = []
        for name, every in (("discriminator", 1), ("generator", self.critic_steps)):
            own = groups_of(modules[name], groups)
            if not own:
                raise ValueError(
                    f"Nothing of the {name} is to be trained in this stage, and a GAN needs both players: "
                    'fine-tune it with strategy="full".'
                )
            optimizer = make_optimizer(recipe.optimizer, own, lr=own[0]["lr"], **options)
            phases.append(
                Phase(
                    name=name, module=modules[name], optimizer=optimizer, losses=losses[name], every=every,
                    schedule=schedule, clip_norm=recipe.clip_norm,
                )
            )  # fmt: skip
        return phases

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        """Those of both players on a batch: "loss" is the discriminator's. Training minimises each by itself."""
        generator, discriminator = model.get_submodule("generator"), model.get_submodule("discriminator")
        drawn = self.generator_losses(generator, discriminator, batch)
        judged = self.discriminator_losses(generator, discriminator, batch)
        return {**judged, **{f"generator_{name}": value for name, value in drawn.items()}}

    def discriminator_losses(self, generator: nn.Module, discriminator: nn.Module, batch: Batch) -> Losses:
        """The discriminator's loss on real images and as many drawn ones, with the mean scores of both."""
        real = batch[0]
        with torch.no_grad():
            drawn = generator(_noise(generator, real))
        scores, drawn_scores = discriminator(real), discriminator(drawn)  # apart: batch norm must not mix the two
        loss = self._loss.discriminator(scores, drawn_scores)
        logs = {"real_score": scores.mean(), "drawn_score": drawn_scores.mean()}
        if self.gradient_penalty:
            logs["gradient_penalty"] = gradient_penalty(_unwrapped(discriminator), real, drawn)
            loss = loss + self.gradient_penalty * logs["gradient_penalty"]
        if self.r1:
            logs["r1"] = r1_penalty(_unwrapped(discriminator), real)
            loss = loss + self.r1 / 2 * logs["r1"]
        return {"loss": loss, **logs}

    def generator_losses(self, generator: nn.Module, discriminator: nn.Module, batch: Batch) -> Losses:
        """The generator's loss on as many newly drawn images as the batch has rows."""
        return {"loss": self._loss.generator(discriminator(generator(_noise(generator, batch[0]))))}

    # -- Judging

    @functools.cached_property
    def network(self) -> nn.Module:
        """The network in whose features images are compared; loaded when it is first needed."""
        if self.fid_classifier is None:
            return RandomFeatures(channels=self.input_shape[0]).eval()
        return load_classifier(self.fid_classifier).eval()

    def metrics(self) -> dict[str, Metric]:
        return {self.monitor: FrechetDistance(num_features=num_features(self.network, self.input_shape))}

    def evaluate(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Features of drawn and real images; each real image fixes the noise of one drawn one."""
        real = batch[0]
        network = self.network.to(real.device)
        drawn = _drawn(model, noise_of(hashes_of(real), size=_latent_dim(model)))
        with torch.autocast(real.device.type, enabled=False):  # as `baselines` compares
            return network(drawn.float()), network(real.float())

    def baselines(self) -> Mapping[str, Callable[[Bundle, str], dict[str, float]]]:
        """FIDs of real training images, of a normal distribution over pixels, and of noise."""

        def judged(draw: Draw, bundle: Bundle, split: str) -> dict[str, float]:
            return {self.monitor: distance_of(draw, bundle, split, network=self.network)}

        return {name: functools.partial(judged, draw) for name, draw in DRAWS.items()}

    def epoch_figures(self, model: nn.Module) -> dict[str, "Figure"]:
        """Samples of fixed seeds, the same in every epoch."""
        from vision.generation.pictures import image_grid

        return {"samples": image_grid(self._images(model, range(GRID)))}

    # -- Predicting: a row is a seed, or an image

    def read_inputs(self, items: Sequence[Item]) -> Inputs:
        """Numbers are seeds of images to draw; all else are image files to score."""
        rows: list[int | Tensor] = []
        for item in items:
            text = str(item)
            if text.isdecimal() and not Path(item).exists():
                rows.append(int(text))
            else:
                rows.append(self._read_image(item))
        return Inputs(rows=rows, names=[str(item) for item in items])

    def _read_image(self, item: Item) -> Tensor:
        from vision.data.folder import read_inputs

        if not Path(item).exists():
            raise DataError(f"{str(item)!r} is neither an image file nor a seed, a whole number from 0 up.")
        if self.preprocessing is None:
            raise DataError("This run was trained on arrays, not on image files: give seeds, or images [B, C, H, W].")
        return read_inputs([item], self.preprocessing)[0]

    @torch.no_grad()
    def predict(self, model: nn.Module, inputs: Rows) -> list[Prediction]:
        """For each seed or image the discriminator's "score", larger for more real, and the "seed" if it was one.

        inputs: seeds and images [C, H, W] in any order, or a batch of images [B, C, H, W] in -1..1.
        """
        images = self._images(model, inputs)
        with evaluation_mode(model):
            scores = model.get_submodule("discriminator")(images).float().tolist()
        return [
            {"seed": row, "score": score} if isinstance(row, int) else {"score": score}
            for row, score in zip(rows_of(inputs), scores, strict=True)
        ]

    def picture(self, model: nn.Module, inputs: Rows, predictions: Sequence[Prediction]) -> "Figure":
        """The images, drawn or given, with their scores."""
        from vision.generation.pictures import image_grid

        return image_grid(self._images(model, inputs), titles=[_title(found) for found in predictions])

    def explain(
        self,
        model: nn.Module,
        inputs: Rows,
        *,
        method: str = "grad_cam",
        target: Any = None,
        layer: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> "Explanation":
        """What in each image, drawn or given, raises the discriminator's score."""
        from zoo.explanation import explain

        if target is not None:
            raise ValueError(
                f"A discriminator has one score and no classes to choose from: leave target={target!r} out."
            )
        return explain(
            model.get_submodule("discriminator"), self._images(model, inputs), method=method, layer=layer,
            preprocessing=self.preprocessing, target_function=lambda scores: scores, options=options,
            labels=[_title(found) for found in self.predict(model, inputs)],
        )  # fmt: skip

    @torch.no_grad()
    def _images(self, model: nn.Module, inputs: Rows) -> Tensor:
        """What the rows stand for, images [B, C, H, W] on the model's device; seeds are drawn."""
        rows = rows_of(inputs)
        images: list[Tensor | None] = [None if isinstance(row, int) else row.float() for row in rows]
        for image in images:
            if image is not None and tuple(image.shape) != self.input_shape:
                raise DataError(f"Expected images {list(self.input_shape)} in -1..1, got {list(image.shape)}.")
        seeds = [row for row in rows if isinstance(row, int)]
        device = next(model.parameters()).device
        with evaluation_mode(model):
            drawn = _drawn(model, noise_of(torch.tensor(seeds), size=_latent_dim(model))).float() if seeds else ()
        fresh = iter(drawn)
        return torch.stack([(next(fresh) if image is None else image).to(device) for image in images])


def _title(prediction: Prediction) -> str:
    """What an image is, and its score."""
    name = f"seed {prediction['seed']}" if "seed" in prediction else "given"
    return f"{name}: {prediction['score']:.3g}"


def groups_of(module: nn.Module, groups: ParameterGroups) -> ParameterGroups:
    """The optimizer groups without the parameters that are not of `module`; groups that are then empty are left out."""
    own = {id(parameter) for parameter in module.parameters()}
    shares = [{**group, "params": [held for held in group["params"] if id(held) in own]} for group in groups]
    return [group for group in shares if group["params"]]


def _check_penalty(discriminator: nn.Module) -> None:
    """Raises ValueError where a penalty on the gradient of each sample has no meaning."""
    if any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in discriminator.modules()):
        raise ValueError(
            "Batch norm makes each score depend on the whole batch, so that gradients of single samples are not "
            'defined: build the discriminator without, by model_options={"discriminator_norm": "layer"}.'
        )


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module without what Fabric puts around it, which allows no gradients but those of `fabric.backward`.

    It runs in full precision then, as a gradient of a gradient should. Its parameters are those that processes average.
    """
    from lightning_fabric import is_wrapped

    inner = module.module if is_wrapped(module) else module
    assert isinstance(inner, nn.Module), "Fabric wraps modules"
    return inner


def _latent_dim(generator: nn.Module) -> int:
    return int(generator.latent_dim)  # type: ignore[arg-type]


def _noise(generator: nn.Module, images: Tensor) -> Tensor:
    """Noise [B, D] from torch's own generator of random numbers, one row for each image."""
    return torch.randn(len(images), _latent_dim(generator), device=images.device)


def _drawn(model: nn.Module, noise: Tensor) -> Tensor:
    """The images of noise [B, D] that lies anywhere."""
    parameter = next(model.parameters())
    return model.get_submodule("generator")(noise.to(parameter))
