"""What is fitted to the training rows and applied to all: scaling and whitening of inputs that are numbers.

Statistics are in float64, over batches as they come; what was fitted is kept in a run's directory for prediction.
Shapes: N rows, B of a batch, D numbers of a row ([...] flattened), K of them that are kept.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from zoo.data.bundle import Bundle, fingerprint_of
from zoo.data.sources import Source
from zoo.data.statistics import Moments, bounds_of, moments_of, row_shape
from zoo.errors import DataError
from zoo.parts.preprocessing import PREPROCESSING

Per = Literal["feature", "channel"]
FILE = "preprocessing.safetensors"
MOST_WHITENED = 4096  # numbers of a row: their covariance then takes 128 MiB, and its eigenvectors a minute


class Fitted:
    """A linear map of rows, (x - shift) * scale or (x - shift) @ matrix, as the training rows made it.

    name:   of the preprocessing that was fitted.
    shape:  of the inputs that it takes, without the batch dimension.
    shift:  taken off the inputs; `scale` likewise broadcasts against them.
    matrix: [D, K], for flattened rows; None where there is a scale.
    keeps:  whether the outputs have the shape of the inputs, or are [B, K].
    """

    def __init__(
        self,
        *,
        name: str,
        shape: tuple[int, ...],
        shift: Tensor,
        scale: Tensor | None = None,
        matrix: Tensor | None = None,
        keeps: bool = True,
    ) -> None:
        self.name = name
        self.shape = tuple(shape)
        given = {"shift": shift, "scale": scale, "matrix": matrix}
        self.tensors = {part: tensor for part, tensor in given.items() if tensor is not None}
        self.keeps = keeps
        self._placed: dict[torch.device, dict[str, Tensor]] = {}

    def __call__(self, inputs: Tensor) -> Tensor:
        """Inputs [B, ...], numbers of any kind, to what the model takes, float32 [B, ...] or [B, K].

        Raises: DataError for another shape.
        """
        if tuple(inputs.shape[1:]) != self.shape:
            raise DataError(f"{self.name} was fitted to rows {list(self.shape)}, got {list(inputs.shape[1:])}.")
        held = self._on(inputs.device)
        if "scale" in held:
            return ((inputs.double() - held["shift"]) * held["scale"]).float()
        rows = (inputs.double().flatten(1) - held["shift"].flatten()).float() @ held["matrix"]
        return rows.view(len(inputs), *self.shape) if self.keeps else rows

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_placed": {}}

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        if device not in self._placed:
            self._placed[device] = {name: tensor.to(device) for name, tensor in self.tensors.items()}
        return self._placed[device]

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one row, as the model gets it."""
        return self.shape if self.keeps else (self.tensors["matrix"].shape[1],)

    def save(self, path: Path) -> None:
        """Writes it as safetensors."""
        from safetensors.torch import save_file

        about = {"name": self.name, "shape": ",".join(map(str, self.shape)), "keeps": str(int(self.keeps))}
        save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, path, metadata=about)

    @classmethod
    def load(cls, path: Path) -> "Fitted":
        """Reads what `save` wrote."""
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            about = file.metadata()
            tensors: Mapping[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shape = tuple(int(size) for size in about["shape"].split(",") if size)
        return cls(name=about["name"], shape=shape, keeps=about["keeps"] == "1", **tensors)


def standardise(source: Source, *, per: Per = "feature") -> Fitted:
    """Rows whose every number has mean 0 and standard deviation 1 over the training rows.

    Source: LeCun et al. 1998, Efficient BackProp, doi:10.1007/3-540-49430-8_2, section 4.3. What does not vary is only
    shifted.

    source: the training rows, without random changes.
    per:    "feature" for each number of a row, or "channel", the first dimension of a row, over all its places.
    """
    found = _per_channel(moments_of(source, diagonal=True), per)
    variance = found.variance(unbiased=False)
    flat = variance <= 10 * torch.finfo(torch.float64).eps * (variance + found.mean.square())  # rounding alone
    return Fitted(
        name="standardise", shape=found.shape, shift=found.mean, scale=torch.where(flat, 1.0, variance.rsqrt())
    )


def min_max(source: Source, *, low: float = 0.0, high: float = 1.0, per: Per = "feature") -> Fitted:
    """Rows whose every number runs from `low` to `high` over the training rows; others may go beyond.

    What does not vary becomes `low`. Arguments as for `standardise`.
    """
    if not low < high:
        raise ValueError(f"low must be below high, got {low} and {high}.")
    least, most = bounds_of(source)
    if per == "channel":
        places = tuple(range(1, least.dim()))
        least, most = least.amin(places, keepdim=True), most.amax(places, keepdim=True)
    scale = (high - low) / torch.where(most > least, most - least, 1.0)
    return Fitted(name="min_max", shape=row_shape(source), shift=least - low / scale, scale=scale)


def pca_whitening(source: Source, *, num_components: int | None = None, eps: float = 1e-5) -> Fitted:
    """Rows on the principal axes of the training rows, each axis with variance 1, the largest first, [B, K].

    Source: Hyvarinen and Oja 2000, doi:10.1016/S0893-6080(00)00026-5, section 5.2.

    num_components: K; None keeps all.
    eps:            added to each variance, in the unit of the inputs squared.
    Raises:         DataError for one row, or more components than can be told from the rows.
    """
    found, variances, axes = _principal(source, eps)
    count = len(variances) if num_components is None else num_components
    if not 1 <= count <= min(len(variances), found.count - 1 if num_components else len(variances)):
        raise DataError(f"{count} components of {len(variances)} numbers cannot be told from {found.count} rows.")
    matrix = axes[:, :count] * (variances[:count] + eps).rsqrt()
    return Fitted(name="pca_whitening", shape=found.shape, shift=found.mean, matrix=matrix.float(), keeps=False)


def zca_whitening(source: Source, *, eps: float = 1e-5) -> Fitted:
    """Rows that are uncorrelated over the training rows and otherwise as near as can be to what they were, [B, ...].

    Source: Bell and Sejnowski 1997, doi:10.1016/S0042-6989(97)00121-1; Krizhevsky 2009, Learning multiple layers of
            features from tiny images, appendix A.
    Differs from the papers: eps, which keeps noise on axes without variance from being blown up.

    eps:    added to the variance of each axis, in the unit of the inputs squared.
    Raises: DataError for one row.
    """
    found, variances, axes = _principal(source, eps)
    matrix = (axes * (variances + eps).rsqrt()) @ axes.T
    return Fitted(name="zca_whitening", shape=found.shape, shift=found.mean, matrix=matrix.float())


def fit_preprocessing(bundle: Bundle, name: str, **options: Any) -> Bundle:
    """The bundle with a preprocessing fitted to its training part, and applied to all parts after what they do already.

    name:    "standardise", "min_max", "pca_whitening" or "zca_whitening"; options: what that one takes.
    Returns: a bundle whose `fitted` holds the numbers; a run keeps them, and applies them to what it predicts for.
    Raises:  DataError for inputs that are not numbers of one shape; UnknownNameError; UnknownArgumentError.
    """
    fit = PREPROCESSING.check(name, options)
    if bundle.fitted is not None:
        raise DataError(f"These data are prepared by {bundle.fitted.name} already; fit one preprocessing.")
    if any(change["change"] == "balance" for change in bundle.changes):
        raise DataError("Rows that are balanced come again: fit the preprocessing first, and balance what it gives.")
    return with_fitted(bundle, fit(bundle.train.unaugmented(), **options), {"name": name, **options})


def with_fitted(bundle: Bundle, fitted: Fitted, how: Mapping[str, Any]) -> Bundle:
    """The bundle with what was fitted before applied to all parts; `how`: the arguments of `fit_preprocessing`."""
    parts: dict[str, Any] = {name: _transformed(source, fitted) for name, source in bundle.parts.items()}
    return replace(
        bundle, **parts, fitted=fitted, input_shape=fitted.output_shape,
        changes=(*bundle.changes, {"change": "preprocessing", **how}),
        fingerprint=bundle.fingerprint and fingerprint_of(bundle.fingerprint, *fitted.tensors.values()),
    )  # fmt: skip


class Chain:
    """One transform after another; None in front does nothing."""

    def __init__(self, first: Any, then: Fitted) -> None:
        self.first = first
        self.then = then

    def __call__(self, inputs: Any) -> Any:
        """Inputs [B, ...] to what the second makes of what the first makes of them."""
        return self.then(inputs if self.first is None else self.first(inputs))


def _transformed(source: Any, fitted: Fitted) -> Source:
    prepared = getattr(source, "prepared", None)
    if prepared is None:
        raise DataError(f"The rows of {type(source).__name__} cannot be prepared by {fitted.name}.")
    found: Source = prepared(Chain(source.transform, fitted))
    return found


def _per_channel(found: Moments, per: Per) -> Moments:
    if per == "channel" and len(found.shape) < 2:
        raise DataError(f"Rows {list(found.shape)} have no channels: take per='feature'.")
    return found.per_channel() if per == "channel" else found


def _principal(source: Source, eps: float) -> tuple[Moments, Tensor, Tensor]:
    """The moments of rows, the variances [D] on their principal axes from the largest on, and the axes [D, D]."""
    if eps < 0:
        raise ValueError(f"eps must not be negative, got {eps}.")
    numbers = math.prod(row_shape(source))
    if numbers > MOST_WHITENED:
        raise DataError(f"Rows of {numbers} numbers are too large to whiten; make them smaller: {MOST_WHITENED}.")
    found = moments_of(source, diagonal=False)
    if found.count < 2:
        raise DataError("One row does not vary: whitening needs two at least.")
    variances, axes = torch.linalg.eigh(found.scatter / (found.count - 1))
    variances = variances.clamp(min=0).flip(0)
    least = torch.finfo(torch.float64).eps * len(variances) * variances[0]
    if eps == 0 and bool((variances <= least).any()):
        raise DataError(
            "The rows do not vary along all axes, and those without variance cannot be scaled to 1: give eps= above "
            "0, 1e-5 for instance, or fewer num_components=."
        )
    return found, variances, axes.flip(1)
