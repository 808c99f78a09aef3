"""CapsNet: capsules with dynamic routing, and the decoder that draws the input again.

Source: Sabour, Frosst and Hinton 2017, arXiv:1710.09829: equations 1 to 4, procedure 1, sections 4 and 4.1. Gradients
    flow through every routing iteration and matrices start from N(0, 0.1), as in the authors' code
    (Sarasra/models, research/capsules).
Differs from the paper: `forward` returns log-odds of the capsule lengths, so that every classifier of the zoo gives
    logits; convolutions and the decoder start as PyTorch has them, the paper being silent. The authors' code adds a
    bias to each class capsule that the paper does not have.
Shapes: B images, C channels, H x W pixels, K classes, N primary capsules of 8 numbers, class capsules of D = 16.
"""

from typing import ClassVar, Literal, NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.classification.arguments import check_choice, check_counts
from zoo.features import FeatureInfo

WIDTH = 256  # channels of both convolutions
KERNEL_SIZE = 9
PRIMARY_DIM = 8
CLASS_DIM = 16
UPPER_MARGIN, LOWER_MARGIN, ABSENT_WEIGHT = 0.9, 0.1, 0.5  # equation 4
RECONSTRUCTION_WEIGHT = 0.0005  # section 4.1
SMALLEST_LENGTH = 1e-6  # keeps the logarithm of an empty capsule finite


class CapsuleOutputs(NamedTuple):
    """What `CapsNet(images, targets)` returns.

    logits:         [B, K] log-odds that a class is there.
    capsules:       [B, K, 16], whose lengths are the probabilities.
    reconstruction: [B, C, H, W] drawn from the capsule of the target class.
    """

    logits: Tensor
    capsules: Tensor
    reconstruction: Tensor


class CapsNet(nn.Module):
    """Images [B, C, H, W] to logits [B, K]: the log-odds of the lengths of the class capsules.

    image_size:     height and width of the images, pixels; the routing weights depend on it.
    num_routing:    routing iterations.
    decoder_output: "sigmoid" draws pixels on 0..1, as the paper does; "linear" any values, for normalised images.
    Raises: ValueError if a number is out of range, or images are of another size.
    """

    classifier: ClassVar[str] = "digit_capsules"
    feature_info: ClassVar[tuple[FeatureInfo, ...]] = (
        FeatureInfo("stem", WIDTH, 1),
        FeatureInfo("primary_capsules", WIDTH, 2),
    )

    def __init__(
        self,
        *,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        num_routing: int = 3,
        decoder_output: Literal["sigmoid", "linear"] = "sigmoid",
    ) -> None:
        super().__init__()
        smallest = 2 * KERNEL_SIZE - 1
        check_counts(num_classes=num_classes, in_channels=in_channels, num_routing=num_routing)
        check_choice("decoder_output", decoder_output, ("sigmoid", "linear"))
        if image_size < smallest:
            raise ValueError(
                f"image_size={image_size!r} is not valid: pass {smallest} or more, and enlarge the images."
            )
        self.image_shape = (in_channels, image_size, image_size)
        self.num_classes = num_classes
        self.stem = nn.Sequential(nn.Conv2d(in_channels, WIDTH, kernel_size=KERNEL_SIZE), nn.ReLU())
        self.primary_capsules = nn.Conv2d(WIDTH, WIDTH, kernel_size=KERNEL_SIZE, stride=2)
        grid = (image_size - smallest) // 2 + 1
        self.digit_capsules = ClassCapsules(
            num_inputs=WIDTH // PRIMARY_DIM * grid**2, num_classes=num_classes, num_routing=num_routing
        )
        self.decoder = nn.Sequential(
            nn.Linear(num_classes * CLASS_DIM, 512),
            nn.ReLU(),
            nn.Linear(512, 1024),
            nn.ReLU(),
            nn.Linear(1024, in_channels * image_size**2),
            nn.Sigmoid() if decoder_output == "sigmoid" else nn.Identity(),
        )

    @overload
    def forward(self, images: Tensor) -> Tensor: ...

    @overload
    def forward(self, images: Tensor, targets: Tensor) -> CapsuleOutputs: ...

    def forward(self, images: Tensor, targets: Tensor | None = None) -> Tensor | CapsuleOutputs:
        """Logits [B, K]; given targets [B], the class numbers, all that `capsule_losses` needs."""
        totals = self._totals(images)
        if targets is None:
            return log_odds(totals)
        capsules = squash(totals)
        return CapsuleOutputs(log_odds(totals), capsules, self.reconstruct(capsules, targets))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Images [B, C, H, W] to the maps that `feature_info` describes, smaller by the borders of 9 x 9 kernels."""
        if tuple(x.shape[1:]) != self.image_shape:
            raise ValueError(
                f"Expected images [B, {', '.join(map(str, self.image_shape))}], got {list(x.shape)}. "
                "Resize them, or build the model with their image_size and in_channels."
            )
        stem = self.stem(x)  # [B, 256, H - 8, W - 8]
        return [stem, self.primary_capsules(stem)]

    def capsules(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] to class capsules [B, K, 16]; the length of each is the probability of its class."""
        return squash(self._totals(x))

    def reconstruct(self, capsules: Tensor, target: Tensor) -> Tensor:
        """Class capsules [B, K, 16] and classes [B] to images [B, C, H, W], on the scale of the images in training.

        Only the capsule of the target class is used, the others count as zeros.
        """
        mask = F.one_hot(target, self.num_classes).to(capsules.dtype)  # [B, K]
        return self.decoder((capsules * mask.unsqueeze(-1)).flatten(1)).unflatten(1, self.image_shape)

    def _totals(self, images: Tensor) -> Tensor:
        """What goes into each class capsule before its squashing, [B, K, 16]."""
        grid = self.forward_features(images)[-1]  # [B, 256, G, G]
        primary = grid.unflatten(1, (-1, PRIMARY_DIM)).permute(0, 1, 3, 4, 2).flatten(1, 3)  # [B, N, 8]
        return self.digit_capsules(squash(primary))


class ClassCapsules(nn.Module):
    """Capsules [B, N, 8] to the totals [B, K, 16] that the class capsules receive after routing, not squashed yet.

    Every pair of an input and a class has its own 8 x 16 matrix.
    """

    def __init__(self, *, num_inputs: int, num_classes: int, num_routing: int) -> None:
        super().__init__()
        self.num_routing = num_routing
        self.weight = nn.Parameter(torch.empty(num_inputs, num_classes, PRIMARY_DIM, CLASS_DIM))
        nn.init.trunc_normal_(self.weight, std=0.1, a=-0.2, b=0.2)

    def forward(self, capsules: Tensor) -> Tensor:
        predictions = torch.einsum("bnp,nkpd->bknd", capsules, self.weight)
        return route(predictions, num_routing=self.num_routing)


def route(predictions: Tensor, *, num_routing: int) -> Tensor:
    """Predictions [B, K, N, D] of each input for each class to totals [B, K, D], by agreement (procedure 1).

    Returns: the last iteration's s of the paper; squashed, it is the class capsule v.
    """
    agreement = predictions.new_zeros(predictions.shape[:3])  # [B, K, N]
    totals = predictions.sum(dim=2) / predictions.shape[1]  # the first shares are 1 / K each
    for _ in range(num_routing - 1):
        agreement = agreement + torch.einsum("bknd,bkd->bkn", predictions, squash(totals))
        shares = agreement.softmax(dim=1)  # each input gives 1 in all
        totals = torch.einsum("bkn,bknd->bkd", shares, predictions)
    return totals


def squash(x: Tensor) -> Tensor:
    """Vectors [*, D] to vectors of the same direction and of length |x|^2 / (1 + |x|^2) (equation 1)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return (x * (length / (1.0 + length.square()))).to(x.dtype)


def log_odds(totals: Tensor) -> Tensor:
    """Totals [*, D] to the log-odds [*] of the length p of their squashed capsule.

    By equation 1, p / (1 - p) = |s|^2: taken from s, it neither overflows nor loses its gradient where p nears 1.
    """
    return 2.0 * (torch.linalg.vector_norm(totals, dim=-1) + SMALLEST_LENGTH).log()


def margin_loss(lengths: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of the margin loss summed over the classes (equation 4).

    lengths: [B, K] of the class capsules, 0..1.
    target:  [B] class numbers.
    Returns: [].
    """
    present = F.one_hot(target, lengths.shape[1]).to(lengths.dtype)
    missing = F.relu(UPPER_MARGIN - lengths).square()
    invented = F.relu(lengths - LOWER_MARGIN).square()
    return (present * missing + ABSENT_WEIGHT * (1.0 - present) * invented).sum(dim=1).mean()


def capsule_losses(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """The paper's loss: margin loss plus 0.0005 times the squared error of the reconstruction.

    model: CapsNet, bare or wrapped for distributed training; called once.
    batch: images [B, C, H, W] as the network sees them, and class numbers [B]. The decoder draws these images: on
           0..1 with `decoder_output="sigmoid"`, so build the model with "linear" where they are normalised otherwise.
           Adam's first steps at 1e-3 can drive all capsules of a few classes to a length of 1, where they learn no
           more: take 1e-4, or warm up.
    Returns: "loss", "margin" and "reconstruction" (squared error summed over an image, not weighted), each [] and a
             mean over the batch.
    """
    images, targets = batch
    outputs: CapsuleOutputs = model(images, targets)
    lengths = torch.linalg.vector_norm(outputs.capsules.to(images.dtype), dim=-1)
    margin = margin_loss(lengths, targets)
    reconstruction = (outputs.reconstruction - images).square().flatten(1).sum(dim=1).mean()
    return {"loss": margin + RECONSTRUCTION_WEIGHT * reconstruction, "margin": margin, "reconstruction": reconstruction}
