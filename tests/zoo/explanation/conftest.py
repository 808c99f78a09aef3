"""Small networks that the tests of this folder explain."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

NetworkBuilder = Callable[[], nn.Module]


def _randomise(model: nn.Module) -> nn.Module:
    """Weights and BatchNorm statistics away from their defaults, from a fixed seed."""
    generator = torch.Generator().manual_seed(7)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(drawn.abs() + 0.5 if "running_var" in name else 0.4 * drawn)
    return model


def build_gap_cnn() -> nn.Module:
    """Images [B, 3, H, W] to logits [B, 5] by global average pooling and one linear layer; ReLUs work in place."""
    features = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.Conv2d(8, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True)),
    )
    return _randomise(nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(6, 5)))


class MapsByHand(nn.Module):
    """Two-channel images are the maps; class 0 weighs them (1, -2), class 1 (0.5, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(2, 2, 1, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        self.before_pooling: Callable[[Tensor], Tensor] = torch.clone
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(2)[:, :, None, None])
            self.head.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, 2, H, W] to logits [B, 2]."""
        return self.head(self.before_pooling(self.body(x)).mean(dim=(2, 3)))


class ClassTokenViT(nn.Module):
    """One block of attention in which the logits read the class token only; patches of 4 x 4 pixels."""

    def __init__(self, *, num_prefix: int = 1) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.prefix = nn.Parameter(torch.zeros(1, num_prefix, 8))
        self.norm1 = nn.LayerNorm(8)
        self.value = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, 3, H, W] to logits [B, 5]."""
        patches = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), patches], dim=1)
        keys = self.norm1(tokens)
        tokens = tokens + (keys @ keys.transpose(1, 2)).softmax(dim=-1) @ self.value(keys)
        return self.head(self.norm(tokens)[:, 0])


@pytest.fixture
def gap_cnn() -> nn.Module:
    return build_gap_cnn().eval()


@pytest.fixture
def maps_by_hand() -> nn.Module:
    return MapsByHand()


@pytest.fixture
def class_token_vit() -> NetworkBuilder:
    return lambda num_prefix=1: _randomise(ClassTokenViT(num_prefix=num_prefix)).eval()


@pytest.fixture
def images() -> Tensor:
    """Three images [3, 3, 12, 16]."""
    return torch.randn(3, 3, 12, 16, generator=torch.Generator().manual_seed(3))
