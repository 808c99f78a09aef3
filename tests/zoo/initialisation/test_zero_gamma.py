"""Zero gamma: which norms the rule finds, and blocks that start as their shortcuts."""

import copy

import pytest
import torch
from torch import nn

import zoo
from zoo.initialisation import initialise
from zoo.layers.drop_path import DropPath


class Block(nn.Module):
    """A residual block of two convolutions; subclasses say how it ends."""

    def __init__(self, channels: int = 4) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(2, channels)
        self.gate = nn.Conv2d(channels, channels, 1)
        self.drop = DropPath(rate=0.1)

    def branch(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + self.branch(x)).relu()


class Gated(Block):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch(x)
        y = self.drop(torch.sigmoid(self.gate(y.mean((2, 3), keepdim=True))) * y)
        y += x
        return y


class ActivatedBeforeTheSum(Block):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.branch(x).relu()


class NormFirst(Block):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())


class ShortcutOfANorm(Block):
    """The shortcut is a norm's output that the branch passes too, and the branch ends with a convolution."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm1(self.conv1(x))
        return x + self.conv2(x)


class Twins(Block):
    """Two branches of equal length: neither is the shortcut."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm1(self.conv1(x)) + self.norm2(self.conv2(x))


class Untraceable(nn.Module):
    """A loop over data, which no symbolic trace can follow, around blocks that can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Gated()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x) if x.mean() > -1e9 else x
        return x


@pytest.mark.parametrize("block", [Block, Gated])
def test_the_last_norm_of_a_branch(block):
    assert initialise(block(), "zero_gamma") == ("norm2.weight",)


@pytest.mark.parametrize("block", [ActivatedBeforeTheSum, NormFirst, ShortcutOfANorm, Twins])
def test_what_is_no_branch_that_ends_with_a_norm(block):
    """Fails if a scale is set to 0 that a ReLU would keep there, or that of the shortcut."""
    model = block()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="no residual branch"):
        initialise(model, "zero_gamma")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_norm_with_an_activation_in_it_is_followed_by_one():
    """Fails if timm's norms of this kind are taken for plain ones: the ReLU would keep the scale at 0."""
    layers = pytest.importorskip("timm.layers")
    for apply_act, expected in ((False, ("norm2.weight",)), (True, None)):
        model = Block()
        model.norm2 = layers.BatchNormAct2d(4, apply_act=apply_act)
        if expected is None:
            with pytest.raises(ValueError, match="no residual branch"):
                initialise(model, "zero_gamma")
        else:
            assert initialise(model, "zero_gamma") == expected


def test_parts_of_a_model_that_cannot_be_traced():
    assert initialise(Untraceable(), "zero_gamma") == ("blocks.0.norm2.weight", "blocks.1.norm2.weight")


def test_frozen_scales_and_norms_without_scale_stay():
    frozen, plain = Block(), Block()
    frozen.norm2.weight.requires_grad_(False)
    plain.norm2 = nn.GroupNorm(2, 4, affine=False)
    for model in (frozen, plain):
        with pytest.raises(ValueError, match="which has a scale"):
            initialise(model, "zero_gamma")


def test_nothing_else_moves_and_the_module_comes_back():
    model = Untraceable()
    model.blocks[0].eval()
    modes = [part.training for part in model.modules()]
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    names = initialise(model, "zero_gamma")
    assert torch.equal(torch.get_rng_state(), state)
    assert [part.training for part in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, torch.zeros_like(value) if name in names else before[name]), name


def test_a_block_starts_as_its_shortcut_and_learns():
    torch.manual_seed(0)
    model = Block()
    x = torch.randn(2, 4, 5, 5)
    assert not torch.equal(model(x), x.relu())
    initialise(model, "zero_gamma")
    torch.testing.assert_close(model(x), x.relu())
    model(x).square().sum().backward()
    assert (model.norm2.weight.grad != 0).all()


# -- The libraries' residual networks


def expected_of_resnet(model: nn.Module, norm: str) -> list[str]:
    return [
        f"layer{stage}.{block}.{norm}.weight"
        for stage in range(1, 5)
        for block in range(len(getattr(model, f"layer{stage}")))
    ]


@pytest.mark.parametrize(("name", "norm"), [("resnet18", "bn2"), ("resnet50", "bn3"), ("resnext50_32x4d", "bn3")])
def test_torchvision_s_own_rule_for_its_resnets(name, norm):
    """torchvision's `zero_init_residual` is the reference: the same scales, and no other."""
    import torchvision.models

    reference = getattr(torchvision.models, name)(zero_init_residual=True)
    names = initialise(model := getattr(torchvision.models, name)(), "zero_gamma")
    zero = [key for key, value in reference.named_parameters() if key.endswith("weight") and not value.any()]
    assert list(names) == zero == expected_of_resnet(model, norm)


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet26d", "seresnet50", "ecaresnet26t", "skresnet18", "res2net50d", "regnetx_002"]
)
def test_timm_s_own_rule_for_its_resnets(name):
    """timm's `zero_init_last` is the reference."""
    timm = pytest.importorskip("timm")
    reference = timm.create_model(name, zero_init_last=True)
    names = initialise(timm.create_model(name, zero_init_last=False), "zero_gamma")
    zero = [key for key, value in reference.named_parameters() if key.endswith("weight") and not value.any()]
    assert list(names) == zero
    assert zero


@pytest.mark.parametrize("name", ["resnetv2_50", "vit_tiny_patch16_224", "convnext_atto", "densenet121"])
def test_timm_s_models_with_nothing_of_the_kind(name):
    timm = pytest.importorskip("timm")
    with pytest.raises(ValueError, match="no residual branch"):
        initialise(timm.create_model(name), "zero_gamma")


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "seresnet50", "resnet20_cifar"])
def test_the_zoo_s_own_models(name):
    """The option of the models themselves is the reference."""
    reference = zoo.create_model(name, zero_init_gamma=True)
    names = initialise(zoo.create_model(name), "zero_gamma")
    zero = [key for key, value in reference.named_parameters() if key.endswith("weight") and not value.any()]
    assert list(names) == zero
    assert zero
