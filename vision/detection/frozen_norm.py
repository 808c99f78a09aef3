"""Batch norm that never changes: statistics and scale are those of the trained backbone.

Detectors train on few images at a time, whose statistics are too noisy to normalise by.
Source: He et al. 2015, arXiv:1512.03385, appendix A. Differs from the paper: nothing known.
Tensor names are torchvision's FrozenBatchNorm2d's.
Shapes: B images, C channels, h x w cells.
"""

import torch
from torch import Tensor, nn


class FrozenBatchNorm(nn.Module):
    """Maps [B, C, h, w] scaled and shifted by channel; four buffers [C] and no parameter."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_channels))
        self.register_buffer("bias", torch.zeros(num_channels))
        self.register_buffer("running_mean", torch.zeros(num_channels))
        self.register_buffer("running_var", torch.ones(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()  # [C]
        shift = self.bias - self.running_mean * scale
        shape = (1, -1, 1, 1)
        return torch.addcmul(shift.view(shape).to(x.dtype), x, scale.view(shape).to(x.dtype))

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


def freeze_norms(module: nn.Module) -> nn.Module:
    """Every batch norm in `module` replaced by a frozen one of the same tensors; the module itself, changed.

    Norms of timm's that hold their activation too become timm's frozen ones.
    """
    if any(isinstance(part, nn.BatchNorm2d) and type(part) is not nn.BatchNorm2d for part in module.modules()):
        from timm.utils.model import freeze_batch_norm_2d

        frozen: nn.Module = freeze_batch_norm_2d(module)
        return frozen
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _frozen(child))
    return module


def _frozen(norm: nn.BatchNorm2d) -> FrozenBatchNorm:
    frozen = FrozenBatchNorm(norm.num_features, eps=norm.eps)
    state = {key: value for key, value in norm.state_dict().items() if key != "num_batches_tracked"}
    frozen.load_state_dict(state, strict=norm.affine)
    return frozen.to(next(iter(norm.buffers())).device)
