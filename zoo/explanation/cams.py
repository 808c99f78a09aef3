"""Class activation maps: the maps of one layer, weighed and summed.

Shapes: B rows, D channels of the layer, h x w cells, C classes.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.explanation.methods import LayerMethod, LayerView


@dataclass(frozen=True, kw_only=True)
class MeanFeatures(LayerMethod):
    """Mean over the channels: where the layer responds at all, whatever the class.

    Source: common practice; Zagoruyko and Komodakis 2017, arXiv:1612.03928, section 3.1, has maps of this family.
    Differs from the paper: the plain mean, not that of absolute values or their powers.
    """

    name: ClassVar[str] = "mean_features"
    signed: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = False

    def heat_map(self, view: LayerView) -> Tensor:
        """Heat [B, h, w] in the unit of the layer's output."""
        return view.activations.mean(dim=1)


@dataclass(frozen=True, kw_only=True)
class CAM(LayerMethod):
    """Maps weighed by the row of the classifier for the target class; their mean over the cells is the logit less bias.

    Source: Zhou et al. 2016, arXiv:1512.04150, equation 2.
    Differs from the paper: 1x1 convolutions before the pooling count as the linear layer, which they equal; a ReLU
    between the layer and the pooling is applied.
    """

    name: ClassVar[str] = "cam"
    signed: ClassVar[bool] = True
    needs_gradients: ClassVar[bool] = False
    needs_head: ClassVar[bool] = True

    def heat_map(self, view: LayerView) -> Tensor:
        """Heat [B, h, w] in the unit of the logits.

        Raises: ValueError unless the logits are a linear function of the maps' means, which is checked in numbers.
        """
        if view.target is None or view.logits is None:
            raise ValueError("CAM explains a class logit; with target_function use method='grad_cam'.")
        weight = _linear_weight(view.head)  # [C, D]
        if weight is not None and weight.shape == (view.logits.shape[1], view.activations.shape[1]):
            bias = getattr(view.head, "bias", None)
            for maps in (view.activations, view.activations.relu()):
                logits = nn.functional.linear(maps.mean(dim=(2, 3)), weight, bias)
                if _equal(logits, view.logits):
                    return torch.einsum("bd,bdhw->bhw", weight[view.target], maps)
        raise ValueError(
            "CAM needs global average pooling followed by one linear layer (or a 1x1 convolution, then the pooling); "
            f"the output is not made so from layer {view.layer!r} and {type(view.head).__name__}. "
            "Use method='grad_cam', which works for any head."
        )


@dataclass(frozen=True, kw_only=True)
class GradCAM(LayerMethod):
    """Maps weighed by the mean gradient of the target's score, with what speaks against the target cut off.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, equations 1 and 2.
    Differs from the paper: nothing known.
    """

    name: ClassVar[str] = "grad_cam"
    signed: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = True

    def heat_map(self, view: LayerView) -> Tensor:
        """Heat [B, h, w], at least 0."""
        weights = _gradients(view).mean(dim=(2, 3))  # [B, D]
        return torch.einsum("bd,bdhw->bhw", weights, view.activations).relu()


@dataclass(frozen=True, kw_only=True)
class GradCAMPlusPlus(LayerMethod):
    """Grad-CAM whose weights count positive gradients only, each cell by how much of the score hangs on it alone.

    Source: Chattopadhay et al. 2018, arXiv:1710.11063, equations 10, 11 and 19, for the score exp(logit).
    Differs from the paper: without the factor exp(logit), which is the same for all cells and overflows; maps that
    go below zero (the paper's come out of a ReLU) count as 0 in the denominator, which would cross zero otherwise.
    """

    name: ClassVar[str] = "grad_cam_plus_plus"
    signed: ClassVar[bool] = False
    needs_gradients: ClassVar[bool] = True

    def heat_map(self, view: LayerView) -> Tensor:
        """Heat [B, h, w], at least 0."""
        positive = _gradients(view).relu()
        total = view.activations.relu().sum(dim=(2, 3), keepdim=True)  # [B, D, 1, 1]
        # alpha = g^2 / (2 g^2 + total g^3), divided through by g^2; cells with g <= 0 drop out by `positive`.
        alpha = 1 / (2 + total * positive)
        weights = (alpha * positive).sum(dim=(2, 3))  # [B, D]
        return torch.einsum("bd,bdhw->bhw", weights, view.activations).relu()


def _gradients(view: LayerView) -> Tensor:
    if view.gradients is None:
        raise RuntimeError(f"No gradients were taken at layer {view.layer!r}.")
    return view.gradients


def _linear_weight(head: nn.Module | None) -> Tensor | None:
    """The matrix [C, D] of a linear layer or an ungrouped 1x1 convolution, else None."""
    if isinstance(head, nn.Linear):
        return head.weight.detach()
    if isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1) and head.groups == 1:
        return head.weight.detach()[:, :, 0, 0]
    return None


def _equal(logits: Tensor, reference: Tensor) -> bool:
    """Whether two ways to the same logits agree, up to the rounding of their dtype."""
    tolerance = 1e-3 if logits.dtype in (torch.float32, torch.float64) else 5e-2
    scale = float(reference.abs().max())
    return torch.allclose(logits, reference.to(logits.dtype), rtol=tolerance, atol=tolerance * max(scale, 1e-6))
