"""What networks return, by kind: tensors, torchvision's mappings, transformers' objects."""

from types import SimpleNamespace

import pytest
import torch

import zoo
from vision.segmentation.outputs import aligned, auxiliary_logits, middle, segmentation_logits
from vision.segmentation.task import Segmentation

LOGITS = torch.randn(2, 3, 4, 5)


@pytest.mark.parametrize("output", [LOGITS, {"out": LOGITS}, {"logits": LOGITS}, SimpleNamespace(logits=LOGITS)])
def test_logits_are_found(output):
    assert segmentation_logits(output) is LOGITS
    assert auxiliary_logits(output) is None


@pytest.mark.parametrize("output", [torch.randn(2, 3), {"boxes": LOGITS}, SimpleNamespace(), [LOGITS]])
def test_anything_else_raises(output):
    with pytest.raises(TypeError, match="'out'"):
        segmentation_logits(output)


def test_coarse_logits_are_interpolated_and_cropped_ones_are_not():
    assert aligned(LOGITS, (8, 10), margin=0).shape == (2, 3, 8, 10)
    assert aligned(LOGITS, (8, 10), margin=2) is LOGITS
    assert aligned(LOGITS, (4, 5), margin=0) is LOGITS
    target = torch.arange(42).view(1, 6, 7)
    assert middle(target, margin=2).tolist() == [[[16, 17, 18], [23, 24, 25]]]
    assert middle(target, margin=0) is target


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("torchvision:lraspp_mobilenet_v3_large", {}),
        ("torchvision:deeplabv3_mobilenet_v3_large", {"aux_loss": True}),
    ],
)
def test_torchvisions_networks_train_on_the_task(name, arguments):
    """Every parameter that the loss should reach gets a gradient: fails if the side head is left out."""
    task = Segmentation(classes=["a", "b", "c"], input_shape=(3, 64, 64))
    entry = zoo.model_info(name)
    assert entry.task == task.name
    model = zoo.create_model(name, **task.model_arguments(entry), **arguments).train()
    batch = (torch.randn(2, 3, 64, 64), torch.randint(3, (2, 64, 64)))
    losses = task.losses(model, batch)
    assert ("auxiliary" in losses) == bool(arguments)
    losses["loss"].backward()
    assert [name for name, value in model.named_parameters() if value.grad is None] == []
    (found,) = task.masks(model, batch[0][:1])
    assert found.shape == (64, 64)


def test_transformers_coarse_logits_train_on_the_task():
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_labels=3, depths=[1, 1, 1, 1], hidden_sizes=[8, 8, 16, 16], num_attention_heads=[1, 1, 1, 1],
        decoder_hidden_size=16, sr_ratios=[2, 2, 1, 1],
    )  # fmt: skip
    model = transformers.SegformerForSemanticSegmentation(config)
    task = Segmentation(classes=["a", "b", "c"])
    batch = (torch.randn(2, 3, 64, 48), torch.randint(3, (2, 64, 48)))
    losses = task.losses(model, batch)
    losses["loss"].backward()
    assert model.decode_head.classifier.weight.grad.any()
    outputs, targets = task.evaluate(model.eval(), batch)
    assert outputs.logits.shape == (2, 3, 64, 48)
    assert targets is batch[1]
