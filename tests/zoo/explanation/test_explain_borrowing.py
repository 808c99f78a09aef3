"""What explaining leaves behind in the model, the generator and the memory: nothing."""

import copy
import gc
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from zoo.explanation import METHODS, explain

QUICK = {"smooth_grad": {"num_samples": 2}, "integrated_gradients": {"steps": 2}}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def run(model: nn.Module, images: Tensor, method: str) -> Tensor:
    return explain(model, images, method=method, options=QUICK.get(method)).heat


def num_hooks(model: nn.Module) -> int:
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in HOOKS)


@pytest.mark.parametrize("method", METHODS)
def test_the_model_comes_back_as_it_was(gap_cnn, images, method):
    """In a mixed state: training body, frozen BatchNorm, a frozen layer, a hook and gradients of the user's own."""
    gap_cnn.train()
    gap_cnn[0][1].eval()
    gap_cnn[0][0].weight.requires_grad_(False)
    gap_cnn(images).sum().backward()
    gap_cnn[0].register_forward_hook(lambda module, args, output: None)
    before = copy.deepcopy(gap_cnn.state_dict())
    flags = [parameter.requires_grad for parameter in gap_cnn.parameters()]
    modes = [module.training for module in gap_cnn.modules()]
    names = [sorted(vars(module)) for module in gap_cnn.modules()]
    grads = [None if p.grad is None else p.grad.clone() for p in gap_cnn.parameters()]
    kept, generator = images.clone(), torch.get_rng_state()
    run(gap_cnn, images, method)
    torch.testing.assert_close(gap_cnn.state_dict(), before, rtol=0, atol=0)
    assert [parameter.requires_grad for parameter in gap_cnn.parameters()] == flags
    assert [module.training for module in gap_cnn.modules()] == modes
    assert [sorted(vars(module)) for module in gap_cnn.modules()] == names
    for parameter, grad in zip(gap_cnn.parameters(), grads, strict=True):
        assert (parameter.grad is None) == (grad is None)
        assert grad is None or torch.equal(parameter.grad, grad)
    assert num_hooks(gap_cnn) == 1
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.equal(images, kept)
    assert not images.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_the_heat_does_not_depend_on_the_callers_state(gap_cnn, images, method):
    """Fails if dropout is on in a training model, or gradients are off under the caller's contexts."""
    expected = run(gap_cnn, images, method)
    with torch.no_grad():
        torch.testing.assert_close(run(gap_cnn, images, method), expected)
    with torch.inference_mode():
        inside = run(gap_cnn, images.clone(), method)
    torch.testing.assert_close(inside, expected)
    assert not inside.is_inference()
    torch.testing.assert_close(run(gap_cnn.train(), images, method), expected)
    torch.testing.assert_close(run(gap_cnn.requires_grad_(False), images, method), expected)
    torch.testing.assert_close(run(gap_cnn, images.clone().requires_grad_(), method), expected)
    assert not expected.requires_grad


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Raises on the second call; each method runs the model at least twice."""
        self.calls = getattr(self, "calls", 0) + 1
        torch.rand(1)
        if self.calls == 2:
            raise RuntimeError("planned")
        return x


@pytest.mark.parametrize("method", METHODS)
def test_an_exception_leaves_nothing_behind(gap_cnn, images, method):
    """Fails if hooks, modes, flags or the generator are given back on the straight way only."""
    model = nn.Sequential(*gap_cnn[:2], Failing(), *gap_cnn[2:]).train()
    model[0][0].weight.requires_grad_(False)
    flags = [parameter.requires_grad for parameter in model.parameters()]
    generator = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="planned"):
        run(model, images, method)
    assert num_hooks(model) == 0
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_loop_of_calls_keeps_nothing(gap_cnn, images):
    """Fails if a hook, a graph or a captured map outlives its call."""

    def count() -> int:
        gc.collect()
        return sum(isinstance(item, Tensor) for item in gc.get_objects())

    for method in METHODS:
        run(gap_cnn, images, method)
    before = count()
    for _ in range(5):
        for method in METHODS:
            run(gap_cnn, images, method)
    assert count() == before
    assert num_hooks(gap_cnn) == 0


def test_no_graph_before_the_layer(gap_cnn, images):
    """Fails if Grad-CAM keeps what it does not need: the maps before the layer, and gradients of parameters."""
    needed = {}
    for name in ("0.3", "4"):
        module = gap_cnn.get_submodule(name)
        module.register_forward_hook(lambda m, args, output, name=name: needed.update({name: args[0].requires_grad}))
    explain(gap_cnn, images)
    assert needed == {"0.3": False, "4": True}
    assert all(parameter.grad is None for parameter in gap_cnn.parameters())


def test_in_place_layers_do_not_touch_what_was_captured(images):
    """Fails if the in-place ReLU after the layer overwrites its negative activations."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)]
    model = nn.Sequential(*layers)
    found = explain(model, images, method="mean_features", layer="0")
    torch.testing.assert_close(found.raw, model[0](images).mean(dim=1).detach())


class DoublesInPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2)


@pytest.mark.parametrize("method", METHODS)
def test_models_that_write_into_their_input(gap_cnn, images, method):
    """Fails if one pass over the inputs changes them for the next, or for the caller."""
    kept = images.clone()
    found = explain(nn.Sequential(DoublesInPlace(), gap_cnn), images, method=method, options=QUICK.get(method))
    torch.testing.assert_close(found.inputs, kept)
    torch.testing.assert_close(images, kept)
    torch.testing.assert_close(found.logits, gap_cnn(2 * kept).detach())


def test_a_module_that_runs_twice(images):
    """One ReLU module used twice gives its last output, as captum and the eye expect."""

    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 5, 3, padding=1, stride=2)
            self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            x = self.relu(self.second(self.relu(self.first(x))))
            return self.head(x.mean(dim=(2, 3)))

    found = explain(Shared(), images, method="cam")
    assert found.layer == "relu"
    assert found.raw.shape == (3, 6, 8)


def test_import_is_light():
    """`zoo.explanation` works without torchvision, timm and matplotlib; fails if one is imported at the top."""
    code = "import sys, zoo.explanation; print([m for m in ('torchvision', 'timm', 'matplotlib') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
