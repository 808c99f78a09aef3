"""Gradient checkpointing: the same gradients and statistics, and less kept for the backward pass."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import zoo
from zoo.training import Recipe, Stage, Trainer
from zoo.training.recomputing import recomputed_blocks
from zoo.training.surgery import body_blocks


@pytest.fixture
def deep() -> nn.Module:
    """Blocks with BatchNorm, one of which only counts its batches, and dropout."""
    torch.manual_seed(0)
    blocks = [
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, momentum=momentum), nn.GELU(), nn.Dropout(0.3))
        for momentum in (0.1, None, 0.3)
    ]
    return nn.Sequential(*blocks, nn.Linear(6, 3))


def backward(model: nn.Module, inputs: torch.Tensor) -> int:
    """One forward and backward pass from a fixed seed. Returns: the bytes kept in between, inputs and weights too."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = model(inputs).square().mean()
    loss.backward()
    return sum(kept.values())


def compare(model: nn.Module, inputs: torch.Tensor, *, tolerance: float = 0.0) -> tuple[int, int]:
    """Both ways over the same model: gradients, statistics and random numbers must be the same.

    Returns: the bytes that each keeps.
    """
    other = copy.deepcopy(model)
    plain = backward(model.train(), inputs)
    drawn = torch.get_rng_state()
    with recomputed_blocks(other.train()):
        recomputed = backward(other, inputs)
    assert torch.equal(torch.get_rng_state(), drawn)
    for (name, expected), found in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=0, atol=tolerance, msg=name)
    for name, expected in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], expected), name
    return plain, recomputed


def test_gradients_and_statistics_are_the_same_bit_for_bit(deep):
    """Fails if dropout drops others the second time, or BatchNorm counts a batch twice."""
    plain, recomputed = compare(deep, torch.randn(512, 6))
    assert recomputed < plain / 3
    assert deep[0][1].num_batches_tracked == 1


def test_a_convolutional_network_keeps_less(deep):
    torch.manual_seed(0)
    plain, recomputed = compare(zoo.create_model("resnet20_cifar"), torch.randn(8, 3, 32, 32))
    assert recomputed < plain / 3


def test_a_transformer_of_a_library_keeps_less():
    """Attention, with the blocks in a Sequential of the library's."""
    torch.manual_seed(0)
    model = zoo.create_model("timm:vit_tiny_patch16_224", num_classes=3)
    plain, recomputed = compare(model, torch.randn(2, 3, 224, 224))
    assert recomputed < plain / 3


def test_blocks_in_lists_are_found():
    """Fails if a ModuleList, which nobody calls, counts as a block: nothing would be recomputed."""
    layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    others = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
    model = nn.ModuleDict({"encoder": layers, "decoder": others, "head": nn.Linear(4, 2)})
    assert body_blocks(model) == [*layers, *others]


def test_a_frozen_batch_norm_rests(deep):
    """Fails if layers in evaluation mode normalise by the batch the second time."""
    deep.train()
    deep[1].eval()
    other = copy.deepcopy(deep)
    inputs = torch.randn(32, 6)
    backward(deep, inputs)
    with recomputed_blocks(other):
        backward(other, inputs)
    assert torch.equal(deep[0][0].weight.grad, other[0][0].weight.grad)
    assert torch.equal(other[1][1].running_mean, torch.zeros(6))


def test_the_model_comes_back_as_it_was(deep):
    before = [dict(module.__dict__) for module in deep.modules()]
    with recomputed_blocks(deep) as blocks:
        assert len(blocks) == 3
        assert all("forward" in block.__dict__ for block in blocks)
    assert [module.__dict__.keys() for module in deep.modules()] == [found.keys() for found in before]


def test_what_would_change_twice_is_refused():
    """Spectral normalisation takes a step of the power iteration in every forward pass."""
    blocks = [nn.Sequential(spectral_norm(nn.Linear(6, 6)), nn.ReLU()) for _ in range(2)]
    model = nn.Sequential(*blocks, nn.Linear(6, 3)).train()
    with recomputed_blocks(model), pytest.raises(ValueError, match="changes its buffer"):
        model(torch.randn(4, 6))


def test_a_model_without_blocks_is_refused():
    with pytest.raises(ValueError, match="no blocks"), recomputed_blocks(nn.Linear(6, 3)):
        pass


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_is_the_same(deep, task, bundle, precision):
    """Fails if autocast does not hold the second time. Bit for bit."""
    other = copy.deepcopy(deep)
    for model, recomputed in ((deep, False), (other, True)):
        recipe = Recipe(
            stages=(Stage(epochs=2),), gradient_checkpointing=recomputed, precision=precision, batch_size=16,
            accumulate=2, accelerator="cpu",
        )  # fmt: skip
        Trainer(model=model, task=task, train=bundle.train, recipe=recipe, progress=False).fit()
    for name, value in deep.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_compiled_models_are_refused():
    with pytest.raises(ValueError, match="do not go together"):
        Recipe(gradient_checkpointing=True, compile=True)
