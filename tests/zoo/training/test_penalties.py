"""L1, L2 and weight decay: three things, by hand."""

import copy

import pytest
import torch
from torch import nn

from zoo.optim import make_optimizer
from zoo.training import Engine, Recipe, Stage, Trainer
from zoo.training.penalties import Penalties, l1_penalty, l2_penalty
from zoo.training.surgery import rate_groups

RATE = 0.1
START = torch.tensor([[0.5, -2.0, 0.0]])
GRADIENT = torch.tensor([[-0.01, 0.3, 0.0]])


def one_step(optimizer: str, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and bias after one step from `START` and 1 with the gradients `GRADIENT` and 0.2."""
    recipe = Recipe(accelerator="cpu", optimizer=optimizer, **{"weight_decay": 0.0, **options})
    layer = nn.Linear(3, 1)
    with torch.no_grad():
        layer.weight.copy_(START)
        layer.bias.fill_(1.0)
    layer.weight.grad, layer.bias.grad = GRADIENT.clone(), torch.tensor([0.2])
    groups = rate_groups([list(layer.parameters())], lr=RATE, lr_decay=1.0, weight_decay=recipe.weight_decay)
    Engine(recipe).step(layer, make_optimizer(optimizer, groups, lr=RATE), clip_norm=recipe.clip_norm)
    return layer.weight.detach(), layer.bias.detach()


def test_sgd_by_hand():
    """Fails if a strength is doubled or halved, L1 depends on the size of a weight, or a bias is penalised."""
    weight, bias = one_step("sgd", l2=0.3)
    torch.testing.assert_close(weight, torch.tensor([[0.5 - 0.1 * 0.14, -2.0 - 0.1 * -0.3, 0.0]]))
    assert bias.item() == pytest.approx(0.98)
    weight, bias = one_step("sgd", l1=0.3)
    torch.testing.assert_close(weight, torch.tensor([[0.5 - 0.1 * 0.29, -2.0 - 0.1 * 0.0, 0.0]]))
    assert bias.item() == pytest.approx(0.98)


def test_with_plain_gradient_descent_l2_is_weight_decay():
    assert torch.equal(one_step("sgd", l2=0.3)[0], one_step("sgd", weight_decay=0.3)[0])


def test_adam_by_hand():
    """Adam's first step is the rate times the sign of the gradient: L2 can turn that sign, and no more than that.

    Fails if L2 is added after the moments, or the decoupled decay before them. Of the first weight the loss asks for
    a rise and L2 for a fall by more; the second falls by both.
    """
    plain, _ = one_step("adamw")
    torch.testing.assert_close(plain, torch.tensor([[0.6, -2.1, 0.0]]), rtol=0, atol=1e-5)
    inside, _ = one_step("adamw", l2=0.03)
    torch.testing.assert_close(inside, torch.tensor([[0.4, -2.1, 0.0]]), rtol=0, atol=1e-5)
    decoupled, _ = one_step("adamw", weight_decay=0.03)
    torch.testing.assert_close(decoupled, plain - RATE * 0.03 * START, rtol=0, atol=1e-6)
    assert torch.equal(inside, one_step("adam", weight_decay=0.03)[0])


def test_adam_turns_l1_into_steps_of_one_size():
    """Fails if L1 acts outside the moments, where its steps would be `RATE * l1`."""
    weight, _ = one_step("adam", l1=5.0)
    torch.testing.assert_close(weight, torch.tensor([[0.4, -1.9, 0.0]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", [None, 1024.0])
def test_the_gradients_are_those_of_the_penalties(scale):
    """Fails if what is added is not the derivative of what is said, in training with scaled gradients too."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)).to(torch.float64)
    matrices = [parameter for parameter in layers.parameters() if parameter.ndim > 1]
    (l1_penalty(matrices, strength=0.2) + l2_penalty(matrices, strength=0.7)).backward()
    expected = [matrix.grad for matrix in matrices]
    for parameter in layers.parameters():
        parameter.grad = torch.zeros_like(parameter)
    given = None if scale is None else torch.tensor(scale)
    Penalties(l1=0.2, l2=0.7).add_gradients_(torch.optim.SGD(layers.parameters()), scale=given)
    for matrix, gradient in zip(matrices, expected, strict=True):
        torch.testing.assert_close(matrix.grad / (scale or 1), gradient)
    assert not any(parameter.grad.any() for parameter in layers.parameters() if parameter.ndim < 2)


def train(model, task, bundle, **options) -> nn.Module:
    model = copy.deepcopy(model)
    options = {"batch_size": 24, "optimizer": "sgd", "weight_decay": 0.0, "accelerator": "cpu", **options}
    recipe = Recipe(stages=(Stage(epochs=2, lr=RATE),), **options)
    Trainer(model=model, task=task, train=bundle.train, recipe=recipe, progress=False).fit()
    return model


@pytest.mark.parametrize("options", [{"batch_size": 8, "accumulate": 3}, {"precision": "16-mixed"}], ids=str)
def test_penalties_count_once_a_step_and_unscaled(model, task, bundle, options):
    """Fails if each accumulated batch adds the penalty, or float16's scaled gradients drown it."""
    expected = train(model, task, bundle, l1=0.02, l2=0.1)
    found = train(model, task, bundle, l1=0.02, l2=0.1, **options)
    plain = train(model, task, bundle)
    tolerance = 1e-3 if "precision" in options else 1e-6
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=0, atol=tolerance)
    assert (plain[0].weight - expected[0].weight).abs().max() > 0.01


def test_clipping_counts_the_penalty(model, task, bundle):
    """Fails if the penalty is added to the clipped gradient, whose norm would then be larger."""
    recipe = Recipe(
        stages=(Stage(lr=1.0, schedule="constant"),), max_steps=1, l2=5.0, clip_norm=0.01, optimizer="sgd",
        weight_decay=0.0, accelerator="cpu",
    )  # fmt: skip
    before = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    Trainer(model=model, task=task, train=bundle.train, recipe=recipe, progress=False).fit()
    after = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("option", ["l1", "l2"])
def test_a_negative_strength_is_refused(option):
    with pytest.raises(ValueError, match=option):
        Recipe(**{option: -0.1})
