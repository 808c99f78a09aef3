"""Features of a frozen body: right, found again, and never those of something else."""

import copy
import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

import zoo
from vision.classification.task import ImageClassification
from zoo.data import ArraySource, Bundle, load_data
from zoo.training import Engine, Recipe, Stage, Trainer
from zoo.training.frozen import FrozenBody, data_key

RECIPE = Recipe(accelerator="cpu", batch_size=16)
TASK = "vision/classification"


@pytest.fixture
def images() -> Bundle:
    """64 small images in 3 classes, in memory."""
    generator = np.random.default_rng(0)
    targets = np.arange(64) % 3
    inputs = generator.normal(size=(64, 3, 16, 16)).astype("float32")
    inputs += targets[:, None, None, None]
    return Bundle.from_arrays(inputs, targets, task=TASK, validation=0.25)


@pytest.fixture
def network() -> nn.Module:
    """A convolution with BatchNorm, statistics of its own, and a linear head."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)
    )
    model(torch.randn(20, 3, 16, 16))
    return model


def compute(model: nn.Module, bundle: Bundle, *, recipe: Recipe = RECIPE) -> FrozenBody:
    return FrozenBody.compute(
        model, train=bundle.train, validation=bundle.validation, recipe=recipe, engine=Engine(recipe),
        fingerprint=data_key(bundle),
    )  # fmt: skip


@contextmanager
def counted(model: nn.Module) -> Iterator[list[int]]:
    """Inside, the rows that go through the whole model are appended."""
    rows: list[int] = []
    handle = model.register_forward_hook(lambda module, inputs, output: rows.append(len(inputs[0])))
    try:
        yield rows
    finally:
        handle.remove()


def kept(cache) -> list:
    return sorted((cache / "features").glob("*.safetensors"))


def test_features_are_what_the_head_gets(network, images, cache):
    body = compute(network, images)
    network.eval()
    with torch.no_grad():
        expected = network[:5](images.train.tensors[0])
    torch.testing.assert_close(body.train.tensors[0], expected, rtol=0, atol=1e-6)
    assert torch.equal(body.train.tensors[1], images.train.tensors[1])
    assert body.head is network[5]
    assert len(body.validation) == len(images.validation)


def test_the_second_time_the_body_does_not_run(network, images, cache):
    """Fails if the key takes in something that changes from run to run, or the head."""
    with counted(network) as rows:
        first = compute(network, images)
        assert sum(rows) == 64
        nn.init.ones_(network[5].weight)
        second = compute(network, images)
        assert sum(rows) == 64
    assert torch.equal(first.train.tensors[0], second.train.tensors[0])
    assert len(kept(cache)) == 2


def test_nothing_of_the_model_changes(network, images, cache):
    """Fails if the head that is shaken for the check, the mode or a hook is not given back."""
    network.train()
    network[1].eval()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    random = torch.get_rng_state()
    compute(network, images)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert not any(module._forward_pre_hooks for module in network.modules())


@pytest.mark.parametrize("change", ["weights", "statistics", "structure", "transform", "precision", "data", "split"])
def test_another_body_or_other_data_have_another_key(network, images, cache, change):
    """Fails if features of something else are taken for these."""
    compute(network, images)
    recipe = RECIPE
    inputs, targets = images.train.tensors
    if change == "weights":
        with torch.no_grad():
            network[0].weight[0, 0, 0, 0] += 1e-3
    elif change == "statistics":
        network[1].running_var[3] *= 1.001
    elif change == "structure":
        network[3] = nn.AdaptiveMaxPool2d(1)
    elif change == "transform":
        images = dataclasses.replace(images, train=ArraySource(inputs, targets, transform=lambda x: x * 1.01))
    elif change == "precision":
        recipe = Recipe(accelerator="cpu", batch_size=16, precision="bf16-mixed")
    elif change == "data":
        inputs = inputs.clone()
        inputs[31] += 1
        images = Bundle.from_arrays(inputs, targets, task=TASK, validation=images.validation.tensors)
    elif change == "split":
        everything = [torch.cat(pair) for pair in zip(images.train.tensors, images.validation.tensors, strict=True)]
        images = Bundle.from_arrays(*everything, task=TASK, validation=0.25, seed=1)
    before = len(kept(cache))
    compute(network, images, recipe=recipe)
    assert len(kept(cache)) - before == (1 if change == "transform" else 2)


def test_a_file_a_size_and_a_split_of_a_folder_change_the_key(photos):
    """Fails if the validation pictures of one split are trained on in another that has the same first picture."""

    def key(**options):
        return data_key(load_data(photos, task=TASK, **{"size": 32, **options}))

    keys = [key(), key(seed=1), key(validation=0.3), key(size=24)]
    assert len(set(keys)) == 4
    assert key() == keys[0]
    image = photos / "red" / "0.png"
    content = image.read_bytes()
    try:
        Image.new("RGB", (40, 44), "red").save(image)
        assert key() != keys[0]
    finally:
        image.write_bytes(content)
    assert key() == keys[0]


@pytest.mark.parametrize("damage", ["cut", "emptied", "other", "rows"])
def test_a_damaged_file_is_computed_again(network, images, cache, caplog, damage):
    """Fails if a half written or foreign file stops the run, or worse, is used."""
    from safetensors.torch import save_file

    good = compute(network, images)
    for path in kept(cache):
        content = path.read_bytes()
        if damage == "cut":
            path.write_bytes(content[: len(content) // 2])
        elif damage == "emptied":
            path.write_bytes(b"")
        elif damage == "other":
            save_file({"weight": torch.zeros(3)}, path)
        else:
            save_file({"features": torch.zeros(3, 8), "targets": torch.zeros(3)}, path)
    with caplog.at_level(logging.WARNING), counted(network) as rows:
        again = compute(network, images)
    assert sum(rows) == 64
    assert len(caplog.records) == 2
    assert torch.equal(again.train.tensors[0], good.train.tensors[0])
    with counted(network) as rows:
        compute(network, images)
    assert not rows


def test_a_cache_that_cannot_be_written_costs_time_only(network, images, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        body = compute(network, images)
    assert len(body.train) == 48
    assert "not kept" in caplog.text


@pytest.mark.parametrize("kind", ["dataset", "nameless"])
def test_data_that_cannot_be_recognised_are_not_kept(network, images, cache, kind):
    """Fails if new pictures in a Dataset, of which only the targets are known, get the features of the old ones."""
    if kind == "dataset":
        images = Bundle.from_dataset(TensorDataset(*images.train.tensors), validation=0.25, task=TASK)
    else:
        images = dataclasses.replace(images, fingerprint="")
    assert data_key(images) is None
    compute(network, images)
    assert not kept(cache)


def train_head(model: nn.Module, bundle: Bundle, *, cached: bool, **options) -> Trainer:
    stage = Stage(name="head", epochs=3, lr=0.02, trainable=1, cache_features=cached)
    recipe = Recipe(stages=(stage,), accelerator="cpu", batch_size=10, **options)
    trainer = Trainer(
        model=model, task=ImageClassification.from_bundle(bundle), train=bundle.train, validation=bundle.validation,
        recipe=recipe, progress=False, fingerprint=data_key(bundle),
    )  # fmt: skip
    trainer.fit()
    return trainer


def test_training_on_features_equals_training_with_a_frozen_body(network, images, cache):
    """Fails if batches, their order, the last one, or the modes differ."""
    other = copy.deepcopy(network)
    first = train_head(network, images, cached=True)
    second = train_head(other, images, cached=False)
    for one, two in zip(network.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    for one, two in zip(first.history, second.history, strict=True):
        for name, value in one.items():
            assert value == pytest.approx(two[name], abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_library_model_trains_on_features_and_then_as_a_whole(images, cache, precision):
    """Fails if a wrapped head cannot become a part of the wrapped model."""
    model = zoo.create_model("timm:test_resnet", num_classes=3)
    with counted(model) as rows:
        train_head(model, images, cached=True, precision=precision)
        assert sum(rows) == 64
    stages = (Stage(epochs=2, lr=0.01, trainable=1, cache_features=True), Stage(epochs=1, lr=1e-3))
    recipe = Recipe(stages=stages, accelerator="cpu", precision=precision)
    task = ImageClassification.from_bundle(images)
    trainer = Trainer(
        model=model, task=task, train=images.train, validation=images.validation, recipe=recipe, progress=False
    )
    assert len(trainer.fit()) == 3
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


class Scaled(nn.Module):
    """A model that does something with its head's output, of the same shape."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 4), nn.Linear(4, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return 2 * self.head(self.body(x))


class Twice(Scaled):
    def forward(self, x):
        return self.head(self.body(x)) + self.head(self.body(-x))


class Unused(Scaled):
    def forward(self, x):
        return self.body(x)[:, :3]


@pytest.mark.parametrize(("kind", "message"), [(Scaled, "follows"), (Twice, "2 times"), (Unused, "0 times")])
def test_a_head_that_is_not_the_last_step_is_noticed(bundle, cache, kind, message):
    """Fails if a new head, all zero, hides from the check that something follows it."""
    with pytest.raises(ValueError, match=f"{message}.*cache_features=False"):
        compute(kind(), bundle)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("cnn_conv", (3, 16, 16), "follows"),
        ("capsnet", (1, 28, 28), "follows"),
        ("lenet5", (1, 32, 32), "no parameters"),
        ("timm:deit_tiny_distilled_patch16_224", (3, 224, 224), "follows"),
    ],
)
def test_models_without_a_last_linear_step_say_so(name, shape, message, cache):
    model = zoo.create_model(name, num_classes=3)
    bundle = Bundle.from_arrays(torch.randn(4, *shape), torch.arange(4) % 2, task=TASK, validation=0.0)
    with pytest.raises(ValueError, match=f"{message}.*cache_features=False"):
        compute(model, bundle)
    assert not kept(cache)


def test_a_layer_between_body_and_head_is_not_left_random(cache):
    """Fails if the features are taken behind a new layer, which would then never train."""
    transformers = pytest.importorskip("transformers")

    class Features(transformers.DistilBertForSequenceClassification):
        def forward(self, x):
            return super().forward(inputs_embeds=x)

    config = transformers.DistilBertConfig(vocab_size=50, dim=8, n_layers=1, n_heads=2, hidden_dim=8, num_labels=2)
    bundle = Bundle.from_arrays(torch.randn(4, 5, 8), torch.arange(4) % 2, task=TASK, validation=0.0)
    with pytest.raises(ValueError, match=r"Linear to train beside it.*cache_features=False"):
        compute(Features(config), bundle)


def test_side_heads_are_left_alone(images, cache):
    """Fails if they are taken for parts of the head, though evaluation never calls them."""
    model = zoo.create_model("googlenet", num_classes=3)
    bundle = Bundle.from_arrays(torch.randn(4, 3, 64, 64), torch.arange(4) % 2, task=TASK, validation=0.0)
    assert compute(model, bundle).train.tensors[0].shape == (4, 1024)


def test_maps_that_are_channels_last_are_kept(images, cache):
    """Fails if features go to the file as they lie in memory: safetensors refuses maps whose channels are last."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.ReLU(), nn.Sequential(nn.Flatten(), nn.Linear(392, 3)))
    model.classifier = "2"
    model.to(memory_format=torch.channels_last)
    first, again = compute(model, images), compute(model, images)
    assert list((cache / "features").iterdir())
    assert torch.equal(first.train[0][0], again.train[0][0])
