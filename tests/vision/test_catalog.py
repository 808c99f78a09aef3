"""What every model of the vision catalogue must do, by parametrisation over the catalogue."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from vision.catalog import CATALOG
from vision.classification.catalog import MODELS
from vision.weights import WEIGHTS
from zoo.outputs import AuxiliaryLogits
from zoo.records import Entry

NUM_CLASSES = 3
BY_NAME = {entry.name: entry for entry in MODELS}
EVERY_MODEL = pytest.mark.parametrize("entry", MODELS, ids=lambda entry: entry.name)


@dataclass(frozen=True)
class Small:
    """A configuration of one builder that trains in a moment.

    image_shape: of one image, [C, H, W].
    config:      what goes over the configuration of the builder's smallest entry.
    """

    image_shape: tuple[int, ...]
    config: dict[str, Any] = field(default_factory=dict)


SMALL = {
    "alexnet:AlexNet": Small((3, 63, 63), {"head_width": 16}),
    "capsnet:CapsNet": Small((1, 19, 19), {"image_size": 19}),
    "cifar_resnet:CifarResNet": Small((3, 16, 16), {"depth": 8}),
    "cnn:CNN": Small((3, 16, 16), {"widths": (8, 12), "depths": (1, 1)}),
    "densenet:DenseNet": Small((3, 32, 32), {"depths": (2, 2), "growth_rate": 4}),
    "efficientnet_lite:EfficientNetLite": Small((3, 64, 64)),  # below, batch norm sees too few values
    "googlenet:GoogLeNet": Small((3, 64, 64)),
    "inception:InceptionV3": Small((3, 75, 75), {"aux_logits": False}),  # its side head wants 299 pixels
    "lenet:LeNet5": Small((1, 32, 32)),
    "resnet:ResNet": Small((3, 32, 32), {"depths": (1, 1, 1, 1), "attention": "se"}),
    "vgg:VGG": Small((3, 32, 32), {"head_width": 16}),
}


def resolve(reference: str) -> Any:
    """What "module:name" stands for."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def build(entry: Entry, **config: Any) -> nn.Module:
    """The model of an entry, through its builder."""
    return resolve(entry.builder)(**{**entry.config, **config})


def representatives() -> list[Any]:
    """The smallest entry of each builder, with its small configuration."""
    smallest: dict[str, Entry] = {}
    for entry in sorted(MODELS, key=lambda entry: entry.num_params or 0):
        smallest.setdefault(entry.builder.removeprefix("vision.classification."), entry)
    return [
        pytest.param(entry, SMALL.get(builder, Small(entry.input_shape)), id=builder)
        for builder, entry in smallest.items()
    ]


ONE_OF_EACH_CLASS = pytest.mark.parametrize(("entry", "small"), representatives())


def build_small(entry: Entry, small: Small) -> nn.Module:
    torch.manual_seed(0)
    return build(entry, **small.config, num_classes=NUM_CLASSES)


def loss_of(entry: Entry, model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """The entry's own loss, or cross-entropy over all heads."""
    if "losses" in entry.task_options:
        return resolve(entry.task_options["losses"])(model, (images, targets))["loss"]
    output = model(images)
    if isinstance(output, AuxiliaryLogits):
        sides = sum(F.cross_entropy(side, targets) for side in output.auxiliary)
        return F.cross_entropy(output.logits, targets) + output.weight * sides
    return F.cross_entropy(output, targets)


def test_importing_the_catalogue_imports_no_torch():
    """Fails if a heavy import slips into the catalogue, and `zoo list` becomes slow."""
    code = "import sys, vision.catalog; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_names_are_unique():
    """Fails if two rows share a name."""
    assert len(BY_NAME) == len(MODELS)


def test_no_weights_are_left_over():
    """Fails if a name is spelt differently in the two tables: its model would be listed without weights."""
    assert set(WEIGHTS) <= set(BY_NAME)


def test_the_catalogue_knows_the_task_of_every_model():
    """Fails if a model is listed under a task that nothing trains."""
    assert {entry.task for entry in CATALOG.models} <= {task.name for task in CATALOG.tasks}


@EVERY_MODEL
def test_a_paper_and_a_summary_are_given(entry):
    """Fails if a row lacks what `zoo info` shows; a summary is one line."""
    assert entry.paper is not None
    assert entry.paper.id.startswith(("arXiv:", "doi:"))
    assert entry.summary.strip()
    assert "\n" not in entry.summary


@EVERY_MODEL
def test_size_and_shapes_are_as_stated(entry):
    """Fails if the parameter count is off by one, the logits have another shape, or a feature map is not as described.

    A map is the output of the module that its description names. Its stride is how many pixels more an image needs
    for one position more, since unpadded kernels take some positions off at the borders.
    """
    channels, height, width = entry.input_shape
    grown = {"image_size": height + 64} if "capsnet" in entry.builder else {}
    with torch.device("meta"), torch.no_grad():
        model = build(entry).eval()
        assert sum(parameter.numel() for parameter in model.parameters()) == entry.num_params
        logits = model(torch.zeros(2, channels, height, width))
        outputs: dict[str, Tensor] = {}
        hooks = [
            model.get_submodule(info.name).register_forward_hook(_keep(outputs, info.name))
            for info in model.feature_info
        ]
        maps = model.forward_features(torch.zeros(2, channels, height, width))
        for hook in hooks:
            hook.remove()
        larger = build(entry, **grown).eval() if grown else model
        larger_maps = larger.forward_features(torch.zeros(2, channels, height + 64, width + 64))
    default = inspect.signature(resolve(entry.builder)).parameters["num_classes"].default
    assert logits.shape == (2, entry.config.get("num_classes", default))
    assert len(maps) == len(model.feature_info) > 0
    for info, small_map, large_map in zip(model.feature_info, maps, larger_maps, strict=True):
        assert outputs[info.name] is small_map
        assert small_map.shape[:2] == (2, info.channels)
        assert (large_map.shape[2] - small_map.shape[2]) * info.stride == 64
        assert (large_map.shape[3] - small_map.shape[3]) * info.stride == 64
    strides = [info.stride for info in model.feature_info]
    assert strides == sorted(strides)


@EVERY_MODEL
def test_classes_and_channels_can_be_chosen(entry):
    """Fails if `num_classes` or `in_channels` is ignored, or the layer that fine-tuning replaces is not the last."""
    channels, height, width = entry.input_shape
    with torch.device("meta"), torch.no_grad():
        model = build(entry, num_classes=7, in_channels=channels + 1).eval()
        assert model(torch.zeros(2, channels + 1, height, width)).shape == (2, 7)
    head = model.classifier
    if isinstance(head, str):
        assert model.get_submodule(head) is list(model.children())[-1] or "capsnet" in entry.builder
    else:
        last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
        assert last.out_features == 7


@EVERY_MODEL
def test_an_unknown_argument_raises(entry):
    """Fails if a builder swallows what it does not know."""
    with pytest.raises(TypeError, match="num_clases"):
        build(entry, num_clases=7)


@pytest.mark.parametrize("name", ["num_classes", "in_channels"])
@ONE_OF_EACH_CLASS
def test_a_count_below_one_raises(entry, small, name):
    """Fails if the error comes from a layer inside, which does not name the argument."""
    with pytest.raises(ValueError, match=name):
        build(entry, **{**small.config, name: 0})


@ONE_OF_EACH_CLASS
def test_every_parameter_gets_a_gradient(entry, small):
    """Fails if a layer is built and not used in training."""
    model = build_small(entry, small).train()
    loss_of(entry, model, torch.randn(4, *small.image_shape), torch.tensor([0, 1, 2, 0])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@ONE_OF_EACH_CLASS
def test_a_row_does_not_depend_on_another(entry, small):
    """Fails if something mixes the batch in evaluation: the gradient of row 1 reaches image 1 only."""
    model = build_small(entry, small).eval()
    images = torch.randn(3, *small.image_shape, requires_grad=True)
    model(images)[1].square().sum().backward()
    assert [bool(image.any()) for image in images.grad] == [False, True, False]


@ONE_OF_EACH_CLASS
def test_saving_and_loading_is_exact(entry, small, tmp_path):
    """Fails if something that the outputs depend on is not in the state dict."""
    model = build_small(entry, small)
    images = torch.randn(4, *small.image_shape)
    with torch.no_grad():
        model.train()(images)  # moves the BatchNorm statistics away from their start
        save_file(model.state_dict(), tmp_path / "model.safetensors")
        torch.manual_seed(1)
        other = build(entry, **small.config, num_classes=NUM_CLASSES)
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert other.eval()(images).equal(model.eval()(images))


@ONE_OF_EACH_CLASS
def test_a_few_steps_on_one_batch_lower_the_loss(entry, small):
    """Fails if the network cannot learn, or a gradient is not that of the loss.

    The same dropout in every step leaves only the weights to change it.
    """
    model = build_small(entry, small).train()
    images, targets = torch.randn(6, *small.image_shape), torch.tensor([0, 1, 2, 0, 1, 2])

    def loss_now() -> Tensor:
        torch.manual_seed(2)
        return loss_of(entry, model, images, targets)

    first = loss_now().item()
    last = [descend(list(model.parameters()), loss_now) for _ in range(3)][-1]
    assert last < 0.97 * first


def descend(parameters: list[nn.Parameter], loss_now: Callable[[], Tensor]) -> float:
    """One step down the gradient; the loss after it, which must fall by a tenth of what the slope promises or more.

    The step begins where the slope promises a twentieth of the loss, and is halved where that leaps too far: no one
    rate suits all untrained networks, whose gradients differ a million times in length.
    """
    loss = loss_now()
    gradients = torch.autograd.grad(loss, parameters)
    slope = float(sum(gradient.double().square().sum() for gradient in gradients))
    before, starts = loss.item(), [parameter.detach().clone() for parameter in parameters]
    promised = 0.05 * before
    for _ in range(6):
        with torch.no_grad():
            for parameter, start, gradient in zip(parameters, starts, gradients, strict=True):
                parameter.copy_(start - promised / max(slope, 1e-12) * gradient)
            after = loss_now().item()
        if after <= before - 0.1 * promised:
            return after
        promised /= 2
    raise AssertionError(f"no step down the gradient lowers the loss of {before}")


def _keep(outputs: dict[str, Tensor], name: str) -> Any:
    """A forward hook that stores a module's output under `name`."""

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        outputs[name] = output

    return hook


def test_capsnet_sees_the_scale_that_its_decoder_draws():
    """Fails if its images reach below 0 or above 1, where the decoder's sigmoid cannot follow."""
    entry = BY_NAME["capsnet"]
    scale = entry.preprocessing
    assert (len(scale.mean), *scale.size) == entry.input_shape
    assert [(edge - scale.mean[0]) / scale.std[0] for edge in (0, 1)] == [0, 1]
