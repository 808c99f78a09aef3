"""Losses in the features of a frozen network: by hand, what is borrowed, and which networks do."""

import pytest
import torch
from torch import nn

from zoo.features import FeatureInfo
from zoo.losses import FEATURE_LOSSES, PerceptualLoss, StyleLoss, gram, mae, mse


class Backbone(nn.Module):
    """Two maps of a small network with a normalisation, whose statistics move in training."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU())
        self.feature_info = (FeatureInfo("stem", 4, 1), FeatureInfo("body", 6, 2))

    def forward_features(self, x):
        first = self.stem(x)
        return [first, self.body(first)]


def images(rows=2, size=8, *, seed=0):
    return torch.randn(rows, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_by_its_definition():
    """Fails if layers and weights are matched in another order, or one of the two is left out."""
    backbone = Backbone().eval()
    one, other = images(), images(seed=1)
    found, wanted = backbone.forward_features(one), backbone.forward_features(other)
    parts = [mse(*pair) for pair in zip(found, wanted, strict=True)]
    torch.testing.assert_close(PerceptualLoss(backbone)(one, other), parts[0] + parts[1])
    weighted = PerceptualLoss(backbone, layers=[1, 0], weights=[0.5, 2.0])
    torch.testing.assert_close(weighted(one, other), 0.5 * parts[1] + 2 * parts[0])
    absolute = FEATURE_LOSSES.make("perceptual", backbone, layers=[1], distance="absolute")
    torch.testing.assert_close(absolute(one, other), mae(found[1], wanted[1]))
    style = FEATURE_LOSSES.make("style", backbone, layers=[0])
    torch.testing.assert_close(style(one, other), gram(found[0], wanted[0]))
    assert PerceptualLoss(backbone)(one, one).item() == 0


@pytest.mark.parametrize("kind", [PerceptualLoss, StyleLoss])
def test_the_backbone_stays_as_it_was(kind):
    """Fails if the user's network is frozen, put into another mode, or moves its statistics."""
    backbone = Backbone().train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    loss = kind(backbone).train()
    prediction = images().requires_grad_()
    target = images(seed=1).requires_grad_()
    loss(prediction, target).backward()
    assert all(module.training for module in backbone.modules())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in backbone.parameters())
    for held in (backbone, loss.backbone):
        assert all(torch.equal(value, before[name]) for name, value in held.state_dict().items())
    assert not any(module.training for module in loss.backbone.modules())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    assert prediction.grad.abs().sum() > 0
    assert target.grad is None


def test_a_picture_comes_nearer_to_its_target():
    """The use of it: steps on the pixels lower the loss."""
    loss = PerceptualLoss(Backbone())
    picture, target = images().requires_grad_(), images(seed=1)
    optimizer = torch.optim.Adam([picture], lr=0.1)
    values = []
    for _ in range(20):
        optimizer.zero_grad()
        value = loss(picture, target)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]


def test_a_style_of_another_size_and_for_all():
    loss = StyleLoss(Backbone())
    style = images(1, 12, seed=3)
    torch.testing.assert_close(loss(images(), style), loss(images(), style.expand(2, -1, -1, -1)))
    with pytest.raises(ValueError, match="one shape"):
        PerceptualLoss(Backbone())(images(), style)


def test_features_in_bfloat16_are_compared_in_float32():
    loss = PerceptualLoss(Backbone())
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(images(), images(seed=1))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(images(), images(seed=1)), rtol=5e-2, atol=1e-3)


def test_native_classifiers_are_backbones():
    """Fails if the Protocol of the zoo's features is another than this loss asks for."""
    from zoo import create_model

    model = create_model("resnet18", num_classes=2)
    loss = PerceptualLoss(model, layers=[0, 1])
    picture = images(1, 64).requires_grad_()
    value = loss(picture, images(1, 64, seed=1))
    value.backward()
    assert value.item() > 0
    assert picture.grad.abs().sum() > 0


class WithoutMaps(Backbone):
    def __init__(self):
        super().__init__()
        self.feature_info = ()


@pytest.mark.parametrize(
    ("backbone", "options", "error", "words"),
    [
        (WithoutMaps(), {}, TypeError, "WithoutMaps is not"),
        (nn.Conv2d(3, 4, 3), {}, TypeError, "forward_features"),
        (Backbone(), {"layers": [2]}, ValueError, r"0\.\.1"),
        (Backbone(), {"layers": []}, ValueError, "1 or more"),
        (Backbone(), {"weights": [1.0]}, ValueError, "as many weights"),
        (Backbone(), {"distance": "cosine"}, ValueError, "absolute"),
    ],
)
def test_what_does_not_fit_raises(backbone, options, error, words):
    with pytest.raises(error, match=words):
        PerceptualLoss(backbone, **options)
