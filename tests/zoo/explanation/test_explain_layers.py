"""Which layer is looked at, and how its output lies over the image, for CNNs and ViTs of several libraries."""

import pytest
import timm
import torch
import torchvision
from torch import nn
from transformers import (
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from zoo.errors import UnknownNameError
from zoo.explanation import explain
from zoo.explanation.layers import find_layout
from zoo.features import FeatureInfo

SMALL_VIT = {"embed_dim": 32, "depth": 3, "num_heads": 2, "patch_size": 8, "num_classes": 5}
HF_VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64, "num_labels": 5}
# name: (library, model, its options, height and width of the image, layer found, cells)
NETWORKS = {
    "resnet": ("timm", "resnet18", {}, (64, 96), "layer4", (2, 3)),
    "convnext": ("timm", "convnext_atto", {}, (64, 96), "stages", (2, 3)),
    "efficientnet": ("timm", "tf_efficientnet_lite0", {}, (64, 96), "bn2", (2, 3)),
    "mobilenet pools before its last convolution": (
        *("timm", "mobilenetv3_small_050", {}, (64, 96)),
        *("blocks", (2, 3)),
    ),
    "class token": (
        "timm",
        "vit_tiny_patch16_224",
        {**SMALL_VIT, "img_size": (32, 48)},
        None,
        "blocks.2.norm1",
        (4, 6),
    ),
    "two prefix tokens": (
        *("timm", "deit_tiny_distilled_patch16_224", {**SMALL_VIT, "img_size": (32, 48)}, None),
        *("blocks.2.norm1", (4, 6)),
    ),
    "mean of tokens": (
        *("timm", "vit_tiny_patch16_224", {**SMALL_VIT, "img_size": (48, 32), "global_pool": "avg"}, None),
        *("blocks", (6, 4)),
    ),
    "class attention": (
        *("timm", "cait_xxs24_224", {**SMALL_VIT, "img_size": 32}, None),
        *("blocks_token_only.1.norm1", (4, 4)),
    ),
    "mixer": ("timm", "mixer_s32_224", {"img_size": 64}, None, "norm", (2, 2)),
    "channels last": ("timm", "swin_tiny_patch4_window7_224", {"img_size": (64, 96)}, None, "norm", (2, 3)),
    "torchvision, pooled to a fixed size": ("torchvision", "vgg11_bn", {}, (96, 128), "features", (3, 4)),
    "torchvision, class maps": ("torchvision", "squeezenet1_1", {}, (64, 96), "features", (3, 5)),
    "torchvision, permuted": ("torchvision", "swin_t", {}, (64, 96), "permute", (2, 3)),
    "transformers": (
        *("transformers", "vit", {**HF_VIT, "patch_size": 8, "image_size": (32, 48)}, None),
        *("vit.layers.2.layernorm_before", (4, 6)),
    ),
    "transformers, registers": (
        *("transformers", "dinov2", {**HF_VIT, "patch_size": 8, "image_size": 32}, None),
        *("dinov2_with_registers.layernorm", (4, 4)),
    ),
}


def build(library: str, name: str, options: dict) -> nn.Module:
    """An untrained network whose head is not zero."""
    if library == "timm":
        model = timm.create_model(name, **{"num_classes": 5, **options})
    elif library == "torchvision":
        model = torchvision.models.get_model(name, num_classes=5, **options)
    elif name == "vit":
        model = ViTForImageClassification(ViTConfig(**options))
    else:
        model = Dinov2WithRegistersForImageClassification(Dinov2WithRegistersConfig(**options))
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.out_features == 5:
            nn.init.normal_(module.weight)
    return model


@pytest.mark.parametrize("case", NETWORKS)
def test_the_layer_found(case):
    """Fails if patch tokens without a gradient, pooled maps or class maps are looked at, or the grid is turned."""
    library, name, options, size, layer, cells = NETWORKS[case]
    if size is None:
        stated = options.get("img_size", options.get("image_size"))
        size = stated if isinstance(stated, tuple) else (stated, stated)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build(library, name, options)
    image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    found = explain(model, image.expand(5, -1, -1, -1), target=range(5))
    assert (found.layer, tuple(found.raw.shape)) == (layer, (5, *cells))
    assert found.heat.shape == (5, *size)
    assert found.heat.any()  # of some class


@pytest.mark.parametrize("num_prefix", [0, 1, 2, 5])
def test_grad_cam_of_tokens_by_its_formula(class_token_vit, num_prefix):
    """Weights are the means of the patch tokens' gradients; fails if prefix tokens count or the grid is transposed."""
    model = class_token_vit(max(num_prefix, 1))
    if num_prefix == 0:
        model.prefix = nn.Parameter(torch.zeros(1, 0, 8))  # the first patch is read in place of a class token
    images = torch.randn(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    found = explain(model, images, target=3)
    captured = []
    handle = model.norm1.register_forward_hook(lambda module, args, output: captured.append(output))
    score = model(images)[:, 3].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, captured)
    tokens, gradient = captured[0][:, num_prefix:], gradient[:, num_prefix:]
    if num_prefix == 0:
        assert found.layer == "norm"  # its first patch reaches the logits after the attention too
        return
    assert found.layer == "norm1"
    expected = (tokens * gradient.mean(dim=1, keepdim=True)).sum(dim=2).relu().view(2, 3, 5)
    torch.testing.assert_close(found.raw, expected)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 512, 7, 7), (224, 224), ("channels_first", 7, 7, 0)),
        ((1, 7, 7, 768), (224, 224), ("channels_last", 7, 7, 0)),
        ((1, 56, 56, 96), (224, 224), ("channels_last", 56, 56, 0)),
        ((1, 56, 56, 56), (224, 224), ("channels_first", 56, 56, 0)),
        ((1, 7, 14, 768), (224, 448), ("channels_last", 7, 14, 0)),
        ((1, 2, 2, 3), (32, 32), ("channels_first", 2, 3, 0)),
        ((1, 16, 5, 5), (32, 32), ("channels_first", 5, 5, 0)),
        ((1, 196, 8), (224, 224), ("tokens", 14, 14, 0)),
        ((1, 197, 8), (224, 224), ("tokens", 14, 14, 1)),
        ((1, 201, 8), (224, 224), ("tokens", 14, 14, 5)),
        ((1, 281, 8), (224, 320), ("tokens", 14, 20, 1)),
        ((1, 280, 8), (320, 224), ("tokens", 20, 14, 0)),
        ((1, 10), (224, 224), None),
    ],
)
def test_layouts(shape, size, expected):
    """Fails if channels are taken for a side of the map, or height for width."""
    layout = find_layout(nn.Identity(), shape, size, ())
    found = None if layout is None else (layout.kind, layout.height, layout.width, layout.num_prefix)
    assert found == expected


def test_cells_keep_their_place():
    """Token 1 + 5 i + j, and the cell (i, j) channels last, come out at row i and column j of a 3 x 5 grid."""
    cells = torch.arange(15.0).view(3, 5)
    tokens = torch.cat([torch.full((1, 1, 2), -1.0), cells.flatten()[None, :, None].expand(1, 15, 2)], dim=1)
    layout = find_layout(nn.Identity(), tokens.shape, (48, 80), ())
    torch.testing.assert_close(layout.to_maps(tokens), cells.expand(1, 2, 3, 5))
    last = cells[None, :, :, None].expand(1, 3, 5, 64)
    layout = find_layout(nn.Identity(), last.shape, (48, 80), ())
    torch.testing.assert_close(layout.to_maps(last), cells.expand(1, 64, 3, 5))


def test_a_layer_of_ones_own(gap_cnn, images):
    """By name and as a module, which are one; fails if the choice is not used."""
    by_name = explain(gap_cnn, images, layer="0.2")
    by_module = explain(gap_cnn, images, layer=gap_cnn[0][2])
    assert by_name.layer == by_module.layer == "0.2"
    assert by_name.raw.shape == (3, 6, 8)
    torch.testing.assert_close(by_name.heat, by_module.heat)
    assert not torch.allclose(by_name.heat, explain(gap_cnn, images).heat)


def test_layers_that_will_not_do(gap_cnn, images, class_token_vit):
    """Each mistake is told apart, with the remedy; fails if a blank picture comes instead."""
    with pytest.raises(UnknownNameError, match=r"'0.55'.*Did you mean '0.5'"):
        explain(gap_cnn, images, layer="0.55")
    with pytest.raises(ValueError, match="not a module inside Sequential"):
        explain(gap_cnn, images, layer=nn.ReLU())
    with pytest.raises(ValueError, match=r"'1' gives \[3, 6, 1, 1\].*earlier layer"):
        explain(gap_cnn, images, layer="1")
    model = class_token_vit()
    images = torch.randn(1, 3, 16, 16)
    with pytest.raises(ValueError, match=r"'norm'.*before the last attention"):
        explain(model, images, layer="norm")
    model.spare = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="'spare' does not run"):
        explain(model, images, layer="spare")
    with pytest.raises(ValueError, match=r"No layer of Sequential.*'saliency'"):
        explain(nn.Sequential(nn.Flatten(), nn.Linear(768, 2)), images)
    with pytest.raises(ValueError, match="needs images"):
        explain(nn.Linear(4, 2), torch.ones(1, 4))


def test_the_layer_that_a_model_states(gap_cnn, images):
    """`feature_info` is believed, unless its map is 1x1 for this image; then the trace decides."""
    gap_cnn.feature_info = (FeatureInfo("0.1", 8, 2), FeatureInfo("0.2", 8, 2))
    assert explain(gap_cnn, images).layer == "0.2"
    gap_cnn.feature_info = (FeatureInfo("1", 6, 12),)
    assert explain(gap_cnn, images).layer == "0"


def test_a_compiled_model(gap_cnn, images):
    """Fails if hooks are put on compiled code, or names carry the wrapper's prefix."""
    found = explain(torch.compile(gap_cnn, backend="eager"), images, layer="0.5")
    torch.testing.assert_close(found.heat, explain(gap_cnn, images, layer="0.5").heat)
