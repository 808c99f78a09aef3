"""The CAM family against hand-worked cases, theorems, captum and pytorch-grad-cam."""

import captum.attr
import pytest
import timm
import torch
from torch import nn

from zoo.explanation import explain

# Two maps of 2 x 2 cells for MapsByHand.
A0, A1 = [[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [0.0, 3.0]]
MAPS = torch.tensor([[A0, A1]])
CASES = {
    # A0 - 2 A1
    ("cam", 0): [[1.0, 0.0], [3.0, -2.0]],
    # 0.5 A0 + A1
    ("cam", 1): [[0.5, 2.0], [1.5, 5.0]],
    # gradients 1/4 and -2/4 in every cell: relu(A0 / 4 - A1 / 2)
    ("grad_cam", 0): [[0.25, 0.0], [0.75, 0.0]],
    # alpha = 1 / (2 + 10 / 4), weight = 4 alpha / 4; A1 only has negative gradients and drops out: A0 / 4.5
    ("grad_cam_plus_plus", 0): [[1 / 4.5, 2 / 4.5], [3 / 4.5, 4 / 4.5]],
    # alpha = 1 / (2 + 10 / 8) and 1 / (2 + 4 / 4), weights 0.5 / 3.25 = 2 / 13 and 1 / 3
    ("grad_cam_plus_plus", 1): [[2 / 13, 4 / 13 + 1 / 3], [6 / 13, 8 / 13 + 1]],
    # (A0 + A1) / 2
    ("mean_features", 0): [[0.5, 1.5], [1.5, 3.5]],
}


@pytest.mark.parametrize(("method", "target"), CASES)
def test_cases_by_hand(maps_by_hand, method, target):
    """Fails for a lost ReLU, a sum in place of a mean, a transposed classifier or swapped maps."""
    found = explain(maps_by_hand, MAPS, method=method, target=target)
    torch.testing.assert_close(found.raw, torch.tensor([CASES[method, target]]))
    assert found.layer == "body"
    assert found.signed == (method == "cam")


def test_grad_cam_is_the_positive_part_of_cam(gap_cnn, images):
    """The theorem of the paper's section 3.1, for each row's own class; fails if a row takes another row's class."""
    target = torch.tensor([4, 0, 2])
    cam = explain(gap_cnn, images, method="cam", target=target)
    grad_cam = explain(gap_cnn, images, target=target)
    assert (cam.raw < 0).any()
    torch.testing.assert_close(grad_cam.raw, cam.raw.relu() / (6 * 8))


def test_cam_adds_up_to_the_logit(gap_cnn, images):
    """Fails if the map is cut at zero, scaled, or made of another layer's output."""
    found = explain(gap_cnn, images, method="cam", target=1)
    logits = found.raw.mean(dim=(1, 2)) + gap_cnn[-1].bias[1]
    torch.testing.assert_close(logits, gap_cnn(images)[:, 1])


def test_cam_of_a_convolution_before_the_pooling(gap_cnn, images):
    """The two forms of the head are one function, so they have one map; fails if the class maps are the layer."""
    features, linear = gap_cnn[0], gap_cnn[-1]
    convolution = nn.Conv2d(6, 5, 1)
    convolution.load_state_dict({"weight": linear.weight[:, :, None, None], "bias": linear.bias})
    model = nn.Sequential(features, convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    for method in ("cam", "mean_features"):
        found, expected = explain(model, images, method=method), explain(gap_cnn, images, method=method)
        assert found.layer == expected.layer == "0"
        torch.testing.assert_close(found.raw, expected.raw)


def test_cam_takes_the_relu_before_the_pooling(maps_by_hand):
    """DenseNet's form: the layer ends without the ReLU that the pooled maps went through."""
    maps_by_hand.before_pooling = torch.relu
    found = explain(maps_by_hand, MAPS - 1.5, method="cam", target=0)
    maps = (MAPS - 1.5).relu()
    torch.testing.assert_close(found.raw, maps[:, 0] - 2 * maps[:, 1])


@pytest.mark.parametrize("head", ["hidden layer", "flattened maps", "maximum"])
def test_cam_refuses_another_head(gap_cnn, images, head):
    """Fails if CAM is computed where its formula is not the network's."""
    parts = {
        "hidden layer": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 5)],
        "flattened maps": [nn.Flatten(), nn.Linear(6 * 6 * 8, 5)],
        "maximum": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 5)],
    }
    with pytest.raises(ValueError, match=r"global average pooling.*method='grad_cam'"):
        explain(nn.Sequential(gap_cnn[0], *parts[head]), images, method="cam")


@pytest.mark.parametrize("name", ["gap_cnn", "resnet18", "mobilenetv2_035"])
def test_grad_cam_is_captums(gap_cnn, name):
    model = gap_cnn if name == "gap_cnn" else timm.create_model(name, num_classes=5).eval()
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    target = torch.tensor([3, 1])
    found = explain(model, images, target=target)
    reference = captum.attr.LayerGradCam(model, dict(model.named_modules())[found.layer])
    expected = reference.attribute(images, target=target, relu_attributions=True)
    torch.testing.assert_close(found.raw, expected[:, 0].detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_plus_plus"])
def test_cams_are_pytorch_grad_cams(gap_cnn, images, method):
    """Up to its scaling of every row to 0..1; fails for other weights of Grad-CAM++.

    The layer is as large as the image, since its upsampling is OpenCV's. Its 1e-6 in the denominator is large beside
    squared gradients, so the logits are scaled up.
    """
    peer = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    gap_cnn[0][0].stride = (1, 1)
    with torch.no_grad():
        gap_cnn[-1].weight.mul_(10_000)
    found = explain(gap_cnn, images, method=method)
    targets = [ClassifierOutputTarget(index) for index in found.target.tolist()]
    peer_class = {"grad_cam": peer.GradCAM, "grad_cam_plus_plus": peer.GradCAMPlusPlus}[method]
    with peer_class(model=gap_cnn, target_layers=[gap_cnn[0]]) as reference:
        expected = torch.tensor(reference(input_tensor=images, targets=targets))
    above = found.heat - found.heat.amin(dim=(1, 2), keepdim=True)
    scaled = above / above.amax(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(scaled, expected, atol=1e-5, rtol=1e-5)


def test_grad_cam_plus_plus_on_maps_below_zero():
    """Fails if negative activations enter the denominator: it would cross zero, and a weight could be anything."""
    model = nn.Sequential(nn.Conv2d(2, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2)[:, :, None, None])
        model[3].weight.copy_(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    images = torch.tensor([[[[-8.001, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 4.0]]]])
    found = explain(model, images, method="grad_cam_plus_plus", target=0)
    torch.testing.assert_close(found.raw, torch.tensor([[[0.0, 0.0], [0.0, 4 / 3]]]))  # 4 * 4 * 1/4 * 1 / (2 + 4/4)


@pytest.mark.parametrize("method", ["cam", "grad_cam", "grad_cam_plus_plus", "mean_features"])
def test_heat_is_the_upsampled_map_and_rows_are_independent(gap_cnn, images, method):
    """Fails if anything is scaled or summed over the batch, or the map is brought to W x H."""
    together = explain(gap_cnn, images, method=method, target=2)
    assert together.heat.shape == (3, 12, 16)
    expected = nn.functional.interpolate(together.raw[:, None], size=(12, 16), mode="bilinear")[:, 0]
    torch.testing.assert_close(together.heat, expected)
    alone = explain(gap_cnn, images[1], method=method, target=2)
    torch.testing.assert_close(alone.heat[0], together.heat[1])


def test_evidence_lies_where_the_object_is():
    """A detector of bright red: its heat must peak at the red square; fails for swapped or mirrored axes."""
    model = nn.Sequential(nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].weight[0, 0], model[0].bias[:] = 1.0, -0.5
        model[4].weight.copy_(torch.eye(2))
    images = torch.zeros(1, 3, 24, 40)
    images[0, 0, 4:8, 26:34] = 1.0
    for method in ("cam", "grad_cam", "grad_cam_plus_plus"):
        peak = divmod(int(explain(model, images, method=method, target=0).heat.argmax()), 40)
        assert 3 <= peak[0] <= 8
        assert 25 <= peak[1] <= 34
