"""Heads, layer groups, freezing and rates, on networks of the zoo and of the libraries."""

import copy

import pytest
import torch
from torch import nn

import zoo
from vision.classification.catalog import MODELS as CLASSIFIERS
from zoo.heads import head_path, head_paths, parts_above_body
from zoo.training.surgery import freeze_all_but, layer_groups, quiet_new_head, rate_groups, train_mode


def named_groups(model: nn.Module) -> list[list[str]]:
    """The layer groups by parameter name; every parameter must be in exactly one."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = [[names[id(parameter)] for parameter in group] for group in layer_groups(model)]
    flat = [name for group in groups for name in group]
    assert len(flat) == len(set(flat)) == len(names)
    assert all(groups)
    return groups


@pytest.mark.parametrize("entry", CLASSIFIERS, ids=lambda entry: entry.name)
def test_groups_of_every_native_classifier(entry):
    """Fails if a parameter is lost or doubled, the head is not last, or the stem is not first."""
    with torch.device("meta"):
        model = zoo.create_model(entry.name)
    groups = named_groups(model)
    assert 3 <= len(groups) <= 60
    assert next(model.named_parameters())[0] in groups[0]
    head = head_path(model)
    if any(True for _ in model.get_submodule(head).parameters()):
        assert {name for name in groups[-1] if name.startswith(f"{head}.")} == {
            name for name, _ in model.named_parameters() if name.startswith(f"{head}.")
        }
    else:
        assert entry.name == "lenet5"  # its output layer holds fixed codes
        assert groups[-1] == ["f6.0.weight", "f6.0.bias"]


def test_groups_of_a_resnet_are_its_stages():
    """Fails if a stage is cut into pieces because it holds most of the parameters."""
    with torch.device("meta"):
        groups = named_groups(zoo.create_model("resnet50"))
    starts = [group[0].partition(".")[0] for group in groups]
    assert starts == ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]


def test_groups_of_a_vgg_are_its_layers():
    """Fails if the convolutions make one group because the linear layers hold most of the parameters."""
    with torch.device("meta"):
        groups = named_groups(zoo.create_model("vgg16_bn"))
    assert len(groups) == 16
    assert groups[0] == ["features.0.weight", "features.0.bias", "features.1.weight", "features.1.bias"]
    assert groups[-1] == ["classifier.6.weight", "classifier.6.bias"]


TIMM = {
    "resnet26": "fc",
    "convnext_atto": "head.fc",
    "vit_tiny_patch16_224": "head",
    "swin_tiny_patch4_window7_224": "head.fc",
    "efficientnet_b0": "classifier",
    "mobilenetv3_small_050": "classifier",
    "deit_tiny_distilled_patch16_224": "head",
    "test_resnet": "fc",
}


@pytest.mark.parametrize("name", TIMM)
def test_groups_of_timm_models(name):
    with torch.device("meta"):
        model = zoo.create_model(f"timm:{name}")
    groups = named_groups(model)
    assert 3 <= len(groups) <= 60
    assert head_path(model) == TIMM[name]
    first = next(model_name for model_name, part in model.named_parameters() if part.ndim == 4)
    assert first in groups[0]
    assert f"{TIMM[name]}.weight" in groups[-1]
    if "vit" in name or "deit" in name:
        assert {"cls_token", "pos_embed"} < set(groups[0])
        assert len(groups) == 14


def test_both_classifiers_of_a_distilled_model_are_its_head():
    """Fails if the second one is frozen with the body, although it is as new as the first."""
    with torch.device("meta"):
        model = zoo.create_model("timm:deit_tiny_distilled_patch16_224")
    assert head_paths(model) == ("head", "head_dist")
    assert named_groups(model)[-1] == ["head.weight", "head.bias", "head_dist.weight", "head_dist.bias"]


TORCHVISION = {
    "vgg11": "classifier.6",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "squeezenet1_1": "classifier.1",
    "vit_b_16": "heads.head",
    "swin_t": "head",
    "googlenet": "fc",
    "inception_v3": "fc",
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_groups_of_torchvision_models(name):
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        model = zoo.create_model(f"torchvision:{name}", **options)
    groups = named_groups(model)
    assert 3 <= len(groups) <= 60
    assert head_path(model) == TORCHVISION[name]
    assert next(name for name, parameter in model.named_parameters() if parameter.ndim == 4) in groups[0]
    assert f"{TORCHVISION[name]}.weight" in groups[-1]


@pytest.mark.parametrize(
    ("name", "sides"),
    [
        ("googlenet", ["aux1", "aux2"]),
        ("inception_v3", ["AuxLogits"]),
        ("torchvision:googlenet", ["aux1", "aux2"]),
        ("torchvision:inception_v3", ["AuxLogits"]),
    ],
)
def test_side_heads_go_with_the_head(name, sides):
    """Fails if a frozen body leaves side heads for new classes untrained, which would then shake it."""
    with torch.device("meta"):
        model = zoo.create_model(name, **({"init_weights": False} if ":" in name else {}))
    assert head_paths(model) == ("fc", *sides)
    expected = {name for name, _ in model.named_parameters() if name.startswith(("fc.", "aux", "Aux"))}
    assert set(named_groups(model)[-1]) == expected


def test_a_side_head_defined_last_is_not_the_head():
    """Fails if a segmentation network's auxiliary classifier, its last layer by definition, is taken for the head."""
    from torchvision.models.segmentation import fcn_resnet50

    with torch.device("meta"):
        model = fcn_resnet50(weights=None, weights_backbone=None, aux_loss=True)
    assert list(dict(model.named_children()))[-1] == "aux_classifier"
    assert head_paths(model) == ("classifier.4", "aux_classifier")
    assert 3 <= len(named_groups(model)) <= 60


SMALL = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
TINY_IMAGES = {"image_size": 32, "patch_size": 8}


@pytest.mark.parametrize(
    ("kind", "config", "options", "heads"),
    [
        ("ViTForImageClassification", "ViTConfig", SMALL | TINY_IMAGES, ("classifier",)),
        ("BertForSequenceClassification", "BertConfig", SMALL | {"vocab_size": 50}, ("classifier",)),
        ("RobertaForSequenceClassification", "RobertaConfig", SMALL | {"vocab_size": 50}, ("classifier",)),
        (
            "DistilBertForSequenceClassification",
            "DistilBertConfig",
            {"vocab_size": 50, "dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64},
            ("classifier", "pre_classifier"),
        ),
        (
            "DeiTForImageClassificationWithTeacher",
            "DeiTConfig",
            SMALL | TINY_IMAGES,
            ("distillation_classifier", "cls_classifier"),
        ),
    ],
)
def test_groups_of_transformers_models(kind, config, options, heads):
    """Fails if a new layer between body and head is counted to the body, and so frozen at random."""
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, kind)(getattr(transformers, config)(**options))
    groups = named_groups(model)
    assert parts_above_body(model) == heads
    assert head_paths(model) == tuple(name for name in heads if not name.startswith("pre"))
    assert set(groups[-1]) == {name for name, _ in model.named_parameters() if name.startswith(heads)}
    assert all("embeddings" in name for name in groups[0])
    layers = [group[0] for group in groups[1:] if "layer" in group[0]]
    assert [next(int(part) for part in name.split(".") if part.isdigit()) for name in layers] == [0, 1, 2, 3]


def test_a_network_without_a_layer_has_no_head():
    with pytest.raises(ValueError, match="no linear layer or convolution"):
        head_path(nn.Sequential(nn.ReLU()))


def test_shared_parameters_are_in_one_group():
    """Fails if a tied output layer is counted with the embedding and with the head."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(7, 4)
            self.body = nn.Linear(4, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.embedding.weight

    assert named_groups(Tied()) == [["body.weight", "body.bias"], ["embedding.weight"]]


def test_freezing_and_rates():
    """Fails if a rate, the decay of biases and norms, or the parameters that take gradients are wrong."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2)
    )
    groups = layer_groups(model)
    assert [len(group) for group in groups] == [4, 2, 2]
    freeze_all_but(model, groups[-2:])
    assert [parameter.requires_grad for parameter in model.parameters()] == [False] * 4 + [True] * 4
    rates = rate_groups(groups, lr=0.1, lr_decay=0.5, weight_decay=0.3)
    assert [group["lr"] for group in rates] == pytest.approx([0.025, 0.025, 0.05, 0.05, 0.1, 0.1])
    for group in rates:
        kinds = {parameter.ndim >= 2 for parameter in group["params"]}
        assert kinds == ({True} if group["weight_decay"] else {False})
        assert group["weight_decay"] in (0.0, 0.3)
    assert sum(len(group["params"]) for group in rates) == 8
    [one] = rate_groups(groups, lr=0.1, lr_decay=1.0, weight_decay=0.0)
    assert (one["lr"], len(one["params"])) == (0.1, 8)
    freeze_all_but(model, groups)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_what_is_frozen_rests_in_training_mode():
    """Fails if a frozen BatchNorm trains on, with or without parameters, or the dropout of the head rests."""
    body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout())
    plain = nn.BatchNorm1d(8, affine=False)
    head = nn.Sequential(nn.BatchNorm1d(8, affine=False), nn.Linear(8, 3))
    model = nn.Sequential(body, plain, nn.Dropout(), head)
    freeze_all_but(model, [list(head.parameters())])
    train_mode(model)
    resting = {name for name, module in model.named_modules() if not module.training}
    assert resting == {"0", "0.0", "0.1", "0.2", "1"}
    freeze_all_but(model, layer_groups(model))
    train_mode(model)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("fresh", "quiet"), [((), set()), (("fc.weight",), {"fc"}), (("aux1.fc2.weight", "fc.weight"), {"fc", "aux1.fc2"})]
)
def test_a_new_head_is_quiet(fresh, quiet):
    """Fails if a trained head is wiped out, or a new side head is loud."""
    model = zoo.create_model("googlenet", num_classes=3)
    with torch.no_grad():
        for head in ("fc", "aux1.fc2", "aux2.fc2"):
            model.get_submodule(head).bias.fill_(1.0)
    before = copy.deepcopy(model.state_dict())
    quiet_new_head(model, fresh=fresh)
    for name, value in model.state_dict().items():
        if name.rpartition(".")[0] in quiet:
            assert not value.any()
        else:
            assert torch.equal(value, before[name])


def test_a_new_layer_before_the_head_is_not_quiet():
    """Fails if two layers in a row become zero: no gradient would ever get through."""
    transformers = pytest.importorskip("transformers")
    config = transformers.DistilBertConfig(vocab_size=50, dim=32, n_layers=1, n_heads=2, hidden_dim=64)
    model = transformers.DistilBertForSequenceClassification(config)
    quiet_new_head(model, fresh=["pre_classifier.weight", "pre_classifier.bias", "classifier.weight"])
    assert not model.classifier.weight.any()
    assert model.pre_classifier.weight.any()
