"""Frechet distance between two sets of features, the F of FID.

Source: Heusel et al. 2017, arXiv:1706.08500, section 4; Dowson and Landau 1982, doi:10.1016/0047-259X(82)90077-X.
Differs from the paper: the trace of the square root comes from eigenvalues of symmetric matrices, in float64, which
needs no complex numbers; features are any network's, not Inception's alone.
Shapes: B rows of a batch, D features.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from zoo.metrics.base import Metric, undefined
from zoo.modes import evaluation_mode


class FrechetDistance(Metric):
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of the normal distributions fitted to drawn and real features.

    Outputs are features of drawn samples [B, D], targets of as many real ones. The value is in squared units of the
    features. It is too large for few samples, the more so the more features there are: compare values of equally many.

    num_features: D.
    extractor:    what makes features [B, D] of samples, such as a classifier without its head; then outputs are drawn
                  samples and targets real ones. It is called in evaluation mode, without gradients, and must lie on
                  their device. None where features are handed over.
    """

    higher_is_better = False

    def __init__(self, *, num_features: int, extractor: Callable[[Tensor], Tensor] | None = None) -> None:
        if num_features < 1:
            raise ValueError(f"num_features is {num_features}; at least 1 is needed.")
        shape, dtype = num_features, torch.float64
        super().__init__(
            {
                f"{side}_{kind}": torch.zeros(size, dtype=dtype)
                for side in ("drawn", "real")
                for kind, size in (("sum", (shape,)), ("products", (shape, shape)))
            }
        )
        self.num_features = num_features
        self.extractor = extractor

    def update(self, outputs: Tensor, target: Tensor) -> None:
        if self.extractor is not None:
            with torch.no_grad(), self._mode():
                outputs, target = self.extractor(outputs), self.extractor(target)
        for features in (outputs, target):
            if features.ndim != 2 or features.shape[1] != self.num_features or len(features) != len(target):
                raise ValueError(
                    f"Features of drawn and real samples must both be [B, {self.num_features}]; got "
                    f"{list(outputs.shape)} and {list(target.shape)}."
                )
        sums = self._open(outputs.device)
        for side, features in (("drawn", outputs), ("real", target)):
            rows = features.detach().to(sums[f"{side}_sum"].dtype)
            sums[f"{side}_sum"].add_(rows.sum(0))
            sums[f"{side}_products"].addmm_(rows.T, rows)
        self._count += len(outputs)

    def compute(self) -> float:
        if self._count < 2:
            return undefined(self, "a covariance needs two samples or more")
        moments = []
        for side in ("drawn", "real"):
            total, products = (self._sums[f"{side}_{kind}"].cpu().double() for kind in ("sum", "products"))
            mean = total / self._count
            moments += [mean, (products - torch.outer(total, mean)) / (self._count - 1)]
        return frechet_distance(*moments)

    def _mode(self) -> AbstractContextManager[None]:
        return evaluation_mode(self.extractor) if isinstance(self.extractor, nn.Module) else nullcontext()


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    """The squared Frechet distance of two normal distributions with means [D] and covariances [D, D]."""
    root = _square_root(covariance1.double())
    shared = torch.linalg.eigvalsh(root @ covariance2.double() @ root)  # those of C1 C2, real and not below 0
    trace = covariance1.trace() + covariance2.trace() - 2 * shared.clamp(min=0).sqrt().sum()
    return max(float((mean1 - mean2).double().square().sum() + trace), 0.0)  # a rounding error may fall below


def _square_root(matrix: Tensor) -> Tensor:
    """The symmetric square root of a symmetric matrix whose eigenvalues are not below 0."""
    values, vectors = torch.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
