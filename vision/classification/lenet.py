"""LeNet-5: three convolutions and two subsamplings, read out by the distance to a bitmap of each digit.

Source: LeCun et al. 1998, doi:10.1109/5.726791, section II.B, figure 2 and table I; appendix A for the squashing
  function and the initialisation.
Differs from the paper: the bitmaps of the ten digits are drawn for this file, since the paper prints them as a picture
  (figure 3) only. Cross-entropy on the logits is the paper's equation 9 without its constant "rubbish" class.
Shapes: B images, C channels, H height, W width.
"""

import math
import random
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vision.classification.arguments import check_choice, check_counts
from zoo.features import FeatureInfo

Pool = Literal["subsample", "average", "max"]
Activation = Literal["scaled_tanh", "tanh", "relu"]
Connections = Literal["partial", "full"]
Head = Literal["rbf", "linear"]

IMAGE_SIZE = 32  # pixels a side
CODE_SHAPE = (12, 7)  # rows and columns of a bitmap

# Table I: the maps of S2 that each of the 16 maps of C3 sees.
CONNECTION_TABLE = (
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)  # fmt: skip

# The ten digits side by side, 7 x 12 pixels each: "#" is +1, "." is -1.
DIGITS = (
    "....... ....... ....... ....... ....... ....... ....... ....... ....... .......",
    "..###.. ...#... .####.. .#####. .....#. ####### ...###. ####### ..###.. ..###..",
    ".#...#. ..##... #....#. #.....# ....##. #...... ..#.... ......# .#...#. .#...#.",
    "#.....# .#.#... ......# ......# ...#.#. #...... .#..... .....#. #.....# #.....#",
    "#.....# ...#... ......# .....#. ..#..#. #.###.. #...... .....#. .#...#. #.....#",
    "#.....# ...#... .....#. ..###.. .#...#. ##...#. #.###.. ....#.. ..###.. .#...##",
    "#.....# ...#... ....#.. .....#. #....#. ......# ##...#. ....#.. .#...#. ..###.#",
    "#.....# ...#... ..##... ......# ####### ......# #.....# ...#... #.....# ......#",
    "#.....# ...#... .#..... ......# .....#. ......# #.....# ...#... #.....# .....#.",
    ".#...#. ...#... #...... #.....# .....#. #....#. .#...#. ..#.... .#...#. ....#..",
    "..###.. .#####. ####### .#####. .....#. .####.. ..###.. ..#.... ..###.. .###...",
    "....... ....... ....... ....... ....... ....... ....... ....... ....... .......",
)


class LeNet5(nn.Module):
    """Images [B, in_channels, 32, 32] to logits [B, num_classes]: minus the squared distance to each class's code.

    The paper scales an image to -0.1 for its background and 1.175 for its ink, so that mean and deviation are near
    0 and 1.

    pool:        "subsample" is a trained coefficient and bias for each map, squashed; "average" and "max" have none.
    activation:  "scaled_tanh" is 1.7159 tanh(2a / 3).
    connections: "partial" is the paper's table I between S2 and C3; "full" joins all maps.
    head:        "rbf" is the distance to fixed codes of -1 and +1: bitmaps of the digits where there are ten classes,
                 drawn at random, the same in every model, where not; "linear" is a trained linear layer.
    Raises:      ValueError for a value that is none of the choices, a count below 1, or, in `forward`, an image of
                 another size.
    """

    classifier: ClassVar[str] = "output"
    feature_info: ClassVar[tuple[FeatureInfo, ...]] = (
        FeatureInfo("c1", 6, 1),
        FeatureInfo("c3", 16, 2),
        FeatureInfo("c5", 120, 4),
    )

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 1,
        pool: Pool = "subsample",
        activation: Activation = "scaled_tanh",
        connections: Connections = "partial",
        head: Head = "rbf",
    ) -> None:
        super().__init__()
        check_counts(num_classes=num_classes, in_channels=in_channels)
        check_choice("pool", pool, get_args(Pool))
        check_choice("activation", activation, get_args(Activation))
        check_choice("connections", connections, get_args(Connections))
        check_choice("head", head, get_args(Head))
        code_size = math.prod(CODE_SHAPE)
        c3 = PartialConv2d() if connections == "partial" else nn.Conv2d(6, 16, kernel_size=5)
        self.c1 = nn.Sequential(nn.Conv2d(in_channels, 6, kernel_size=5), _activation(activation))
        self.s2 = _pool(pool, 6, activation)
        self.c3 = nn.Sequential(c3, _activation(activation))
        self.s4 = _pool(pool, 16, activation)
        self.c5 = nn.Sequential(nn.Conv2d(16, 120, kernel_size=5), _activation(activation))
        self.f6 = nn.Sequential(nn.Linear(120, code_size), _activation(activation))
        self.output: nn.Module = (
            EuclideanCodes(num_codes=num_classes) if head == "rbf" else nn.Linear(code_size, num_classes)
        )
        self._init_weights(activation)

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, in_channels, H, W] to three maps, at strides 1, 2 and 4."""
        c1 = self.c1(x)  # [B, 6, 28, 28] of a 32 x 32 image
        c3 = self.c3(self.s2(c1))  # [B, 16, 10, 10]
        c5 = self.c5(self.s4(c3))  # [B, 120, 1, 1]
        return [c1, c3, c5]

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, in_channels, 32, 32] to logits [B, num_classes]."""
        if x.shape[-2:] != (IMAGE_SIZE, IMAGE_SIZE):
            raise ValueError(
                f"LeNet-5 takes images of {IMAGE_SIZE} x {IMAGE_SIZE} pixels, not of {x.shape[-2]} x {x.shape[-1]}: "
                "resize or pad them."
            )
        return self.output(self.f6(self.forward_features(x)[-1].flatten(1)))

    def _init_weights(self, activation: Activation) -> None:
        """Weights uniform within 2.4 / fan-in of zero, as the paper's, or He initialisation for ReLU; biases zero."""
        for module in self.modules():
            if isinstance(module, PartialConv2d | Subsample):
                fan_in = module.fan_in()
            elif isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = torch.tensor(float(module.weight[0].numel()))
            else:
                continue
            bound = (6 / fan_in).sqrt() if activation == "relu" else 2.4 / fan_in
            with torch.no_grad():
                module.weight.uniform_(-1, 1).mul_(bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class PartialConv2d(nn.Module):
    """Maps [B, 6, H, W] to maps [B, 16, H - 4, W - 4], with a 5 x 5 kernel only where table I has a connection."""

    table: Tensor

    def __init__(self) -> None:
        super().__init__()
        pairs = [(out, source) for out, sources in enumerate(CONNECTION_TABLE) for source in sources]
        self.register_buffer("table", torch.tensor(pairs).T.contiguous())  # [2, 60]: map of C3, map of S2
        self.weight = nn.Parameter(torch.empty(len(pairs), 5, 5))
        self.bias = nn.Parameter(torch.empty(len(CONNECTION_TABLE)))

    def fan_in(self) -> Tensor:
        """Inputs of the unit that each kernel belongs to: [60, 1, 1]."""
        return torch.tensor([25.0 * len(sources) for sources in CONNECTION_TABLE for _ in sources])[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, 6, H, W] to maps [B, 16, H - 4, W - 4]."""
        out, source = self.table
        kernels = self.weight.new_zeros(len(CONNECTION_TABLE), 6, 5, 5).index_put((out, source), self.weight)
        return F.conv2d(x, kernels, self.bias)


class Subsample(nn.Module):
    """Maps [B, C, H, W] to maps [B, C, H / 2, W / 2]: the sum of four pixels, times a weight, plus a bias."""

    def __init__(self, *, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, 1))
        self.bias = nn.Parameter(torch.empty(channels, 1, 1))

    def fan_in(self) -> Tensor:
        """Inputs of each unit: []."""
        return torch.tensor(4.0)

    def forward(self, x: Tensor) -> Tensor:
        """Maps [B, C, H, W] to maps [B, C, H / 2, W / 2]."""
        return 4 * F.avg_pool2d(x, kernel_size=2) * self.weight + self.bias


class EuclideanCodes(nn.Module):
    """Vectors [B, 84] to logits [B, num_codes]: minus the squared distance to each code of -1 and +1."""

    codes: Tensor

    def __init__(self, *, num_codes: int) -> None:
        super().__init__()
        codes = digit_codes() if num_codes == 10 else random_codes(num_codes=num_codes)
        self.in_features = math.prod(CODE_SHAPE)
        self.out_features = num_codes
        self.register_buffer("codes", torch.tensor(codes))  # [num_codes, 84]

    def forward(self, x: Tensor) -> Tensor:
        """Vectors [B, 84] to logits [B, num_codes], 0 at a code and falling with the distance."""
        return -(x[:, None, :] - self.codes).square().sum(dim=-1)


class ScaledTanh(nn.Module):
    """The squashing function 1.7159 tanh(2a / 3), near -1 and 1 where a is -1 and 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return 1.7159 * torch.tanh(2 / 3 * x)


def digit_codes() -> list[list[float]]:
    """Ten codes of 84 values, -1 or +1, row by row of each digit's bitmap."""
    rows = [row.split() for row in DIGITS]
    return [[1.0 if pixel == "#" else -1.0 for row in rows for pixel in row[digit]] for digit in range(10)]


def random_codes(*, num_codes: int) -> list[list[float]]:
    """Codes of 84 values, -1 or +1 at even odds; the same at every call."""
    source = random.Random(0)
    return [[source.choice((-1.0, 1.0)) for _ in range(math.prod(CODE_SHAPE))] for _ in range(num_codes)]


def _activation(activation: Activation) -> nn.Module:
    """The module of that name."""
    if activation == "scaled_tanh":
        return ScaledTanh()
    return nn.Tanh() if activation == "tanh" else nn.ReLU()


def _pool(pool: Pool, channels: int, activation: Activation) -> nn.Module:
    """The module of that name: maps [B, C, H, W] to maps [B, C, H / 2, W / 2]."""
    if pool == "subsample":
        return nn.Sequential(Subsample(channels=channels), _activation(activation))
    return nn.AvgPool2d(kernel_size=2) if pool == "average" else nn.MaxPool2d(kernel_size=2)
