"""torchvision's models: classification, video, segmentation, detection, optical flow and quantized ones.

Trained weights imply more than their tensors: frozen batch norms, a bigger input, a second normalisation. So a
trained model is always built by torchvision's own builder for these weights. For another number of classes, the
modules whose tensors have another shape are then taken from a fresh model, and the load report names them.

The quantized_* models are built ready for quantization and take the weights in float32: the files of the int8 ones
hold packed objects beside tensors, which the zoo's reader does not build.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_type_hints

from zoo.backends.base import (
    WeightsChoice,
    accepted_arguments,
    brief,
    check_arguments,
    check_model_name,
    fetch,
    find_weights,
    local_file,
    match_names,
    naming_arguments,
    published_hash,
    torch_hub_file,
)
from zoo.errors import UnknownArgumentError, WeightsError
from zoo.records import Entry, ImagePreprocessing, Weights

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn

    from zoo.weights import LoadReport

# By the module of the builder, below torchvision.models; everything else is image classification.
TASKS = {
    "detection": "vision/detection",
    "segmentation": "vision/segmentation",
    "video": "vision/video",
    "optical_flow": "vision/optical_flow",
}
ANY_SIZE = ("detection", "segmentation", "optical_flow")
RESERVED = {"weights", "weights_backbone", "progress"}
# Where each family keeps its classifier, in the order of looking.
DETECTION_HEADS = ("roi_heads.box_predictor", "head.classification_head")
CLASSIFIERS = ("fc", "classifier", "head", "heads")
# Further parts that depend on the number of classes.
SIDE_HEADS = ("AuxLogits", "aux1", "aux2", "aux_classifier", "roi_heads.mask_predictor")
# Detectors whose backbone torchvision builds with frozen norms where it has trained weights, and the eps of these:
# 0 where the weights were trained with norms that had none (pytorch/vision pull request 2933).
FROZEN_NORMS = {
    "fasterrcnn_resnet50_fpn": 0.0,
    "fasterrcnn_mobilenet_v3_large_fpn": 1e-5,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 1e-5,
    "fcos_resnet50_fpn": 1e-5,
    "keypointrcnn_resnet50_fpn": 0.0,
    "maskrcnn_resnet50_fpn": 0.0,
    "retinanet_resnet50_fpn": 0.0,
}
# The zoo's own argument of such a detector: build it so without weights.
FROZEN_NORM_EPS = "frozen_norm_eps"
# Arguments that builders take out of their **kwargs by name, so that no signature shows them.
HIDDEN_ARGUMENTS = {
    "mobilenetv3": {"width_mult", "reduced_tail", "dilated"},
    "detection": {"size_divisible", "fixed_size"},
}
_RECORD_LOCK = threading.Lock()


class TorchvisionBackend:
    """Every model of `torchvision.models.list_models()`."""

    prefix = "torchvision"

    def list_models(self, pattern: str = "*", *, pretrained: bool = False) -> list[str]:
        """Full names that fit the glob; every torchvision model has trained weights."""
        import torchvision.models as models

        names = [name for name in models.list_models() if not pretrained or len(models.get_model_weights(name))]
        return match_names(self.prefix, names, pattern)

    def info(self, name: str) -> Entry:
        """Task, input and weights as torchvision's weight records state them; its default weights come first."""
        members = _members(name)
        records = [_record(member) for member in members]
        return Entry(
            name=f"{self.prefix}:{name}",
            task=_task(name),
            builder=f"torchvision.models:{name}",
            summary=f"torchvision's {name}",
            input_shape=_input_shape(name, records[0] if records else None),
            weights=tuple(records),
            task_options={"first_label": 1} if _family(name)[0] == "detection" else {},  # 0 is the background
        )

    def create(
        self, name: str, *, weights: WeightsChoice, arguments: Mapping[str, object], offline: bool | None = None
    ) -> "tuple[nn.Module, LoadReport | None]":
        """As `Backend.create`; a local file that bears the name of published weights is taken for these weights."""
        from zoo.weights import load_weights, read_state_dict

        members = _members(name)
        path = local_file(weights)
        _check_arguments(name, arguments)
        if weights is None or weights is False:
            return _build(name, None, arguments), None
        if path is not None:
            member = _published_as(path, members)
            if member is None:
                model = _build(name, None, arguments)
                return model, load_weights(model, read_state_dict(path), head=self.head(model), allow=SIDE_HEADS)
        else:
            record = find_weights(f"torchvision:{name}", [_record(member) for member in members], weights)
            member = next(member for member in members if member.name == record.tag)
        fresh = _build(name, None, _with_side_head(name, arguments)) if "num_classes" in arguments else None
        state = read_state_dict(path or fetch(_record(member), offline=offline, cached=torch_hub_file(member.url)))
        model = _build_trained(name, member, state, arguments)
        changed: tuple[str, ...] = ()
        if fresh is not None:
            changed = _take_changed(model, fresh)
        return model, load_weights(model, state, head=self.head(model), allow=changed)

    def structure(self, name: str, *, weights: WeightsChoice) -> dict[str, object]:
        """Inception's input transform, the image size of vision transformers trained on larger images, and the frozen
        norms of detectors.

        Inception's side heads are left out: torchvision returns their logits in a form of its own, without the weight
        of their loss. The native `googlenet` and `inception_v3` train them.
        """
        if name in ("googlenet", "inception_v3"):
            return {"transform_input": True, "aux_logits": False}
        path, members = local_file(weights), _members(name)
        if name in FROZEN_NORMS and (path is None or _published_as(path, members) is not None):
            return {FROZEN_NORM_EPS: FROZEN_NORMS[name]}
        if not name.startswith("vit_") or path is not None:
            return {}
        record = find_weights(f"torchvision:{name}", [_record(member) for member in members], weights)
        member = next(member for member in members if member.name == record.tag)
        return {"image_size": member.meta["min_size"][0]}

    def head(self, model: "nn.Module") -> str | None:
        """The last layer of a classifier; the box predictor or classification head of a detector."""
        from torch import nn

        modules = dict(model.named_modules())
        for path in DETECTION_HEADS:
            if path in modules:
                return path
        layers = [
            path
            for path, module in modules.items()
            if path.partition(".")[0] in CLASSIFIERS and isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d)
        ]
        if any(path.endswith("low_classifier") for path in layers):  # LR-ASPP adds up two last layers
            return "classifier"
        return layers[-1] if layers else None


def _members(name: str) -> list[Any]:
    """The library's weight records of a model, its default first.

    Raises: UnknownNameError with torchvision's nearest names.
    """
    import torchvision.models as models

    check_model_name("torchvision", name, models.list_models())
    records = models.get_model_weights(name)
    default = records.__members__.get("DEFAULT")
    # VGG-16 has a record without classes, for SSD's body, whose classifier is all NaN: it is no trained classifier.
    whole = [member for member in records if member.meta.get("categories", True) is not None]
    members = sorted(whole, key=lambda member: member is not default)
    return list(dict.fromkeys(member.meta.get("unquantized", member) for member in members))


def _published_as(path: "Path", members: list[Any]) -> Any:
    """The weight record whose file has the name of `path`, or None."""
    return next((member for member in members if member.url.endswith(f"/{path.name}")), None)


def _family(name: str) -> tuple[str, ...]:
    """Steps of the builder's module below torchvision.models, such as ("detection", "faster_rcnn")."""
    import torchvision.models as models

    return tuple(models.get_model_builder(name).__module__.split(".")[2:])


def _task(name: str) -> str:
    return TASKS.get(_family(name)[0], "vision/classification")


def _record(member: Any) -> Weights:
    """A torchvision weight record as the zoo's."""
    meta = member.meta
    measured = [(data, key, value) for data, values in meta["_metrics"].items() for key, value in values.items()]
    alone = len(meta["_metrics"]) == 1
    return Weights(
        tag=member.name,
        source=member.url,
        sha256=published_hash(member.url),
        licence=meta.get("license", "not stated by torchvision"),
        preprocessing=_preprocessing(member),
        num_classes=len(meta["categories"]) if "categories" in meta else None,
        metrics={key if alone else f"{data} {key}": float(value) for data, key, value in measured},
        protocol=f"{', '.join(meta['_metrics'])}; {meta['recipe']}",
    )


def _preprocessing(member: Any) -> ImagePreprocessing | None:
    """Crop and normalisation; None where the model normalises by itself, as detectors do."""
    transform = member.transforms()
    if not hasattr(transform, "mean"):
        return None
    resize = list(transform.resize_size)
    crop = list(getattr(transform, "crop_size", resize))
    return ImagePreprocessing(
        size=(crop[0], crop[-1]),
        resize=min(resize),
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )


def _input_shape(name: str, record: Weights | None) -> tuple[int, ...]:
    """Of one sample, () where any size will do."""
    family = _family(name)[0]
    if record is None or record.preprocessing is None or family in ANY_SIZE:
        return ()
    frames = (16,) if family == "video" else ()
    return (3, *frames, *record.preprocessing.size)


def _builder(name: str) -> Callable[..., "nn.Module"]:
    import torchvision.models as models

    builder: Callable[..., nn.Module] = models.get_model_builder(name)
    return builder


def _known_arguments(name: str) -> set[str]:
    """What the builder takes, and behind its **kwargs the model class; segmentation's builders drop theirs."""
    builder, family = _builder(name), _family(name)
    known = accepted_arguments(builder)
    if family[0] != "segmentation":
        known |= accepted_arguments(get_type_hints(builder)["return"])
    for part, hidden in HIDDEN_ARGUMENTS.items():
        if part in family:
            known |= hidden
    if name in FROZEN_NORMS:
        known |= {FROZEN_NORM_EPS}
    return known - RESERVED


def _check_arguments(name: str, arguments: Mapping[str, object]) -> None:
    if "in_channels" in arguments:
        raise UnknownArgumentError(
            f"torchvision:{name} takes images of 3 channels only: torchvision's builders have no such argument. "
            f"For other inputs use a native model or one of timm's, which take in_channels."
        )
    check_arguments(f"torchvision:{name}", arguments, _known_arguments(name))


def _build(name: str, member: Any, arguments: Mapping[str, object]) -> "nn.Module":
    """A model by torchvision's builder; without a member nothing is loaded, for the backbone neither."""
    builder = _builder(name)
    options: dict[str, Any] = {"weights": member, **arguments}
    frozen_norm_eps = options.pop(FROZEN_NORM_EPS, None)
    if "weights_backbone" in accepted_arguments(builder):
        options["weights_backbone"] = None
    with naming_arguments(f"torchvision:{name}", lambda: _known_arguments(name)):
        model = builder(**options)
    if frozen_norm_eps is not None and member is None:
        _freeze_norms(model.get_submodule("backbone"), eps=float(frozen_norm_eps))
    if _family(name)[0] == "detection" and hasattr(model, "backbone"):
        model.body = "backbone"  # type: ignore[assignment]  # all else is new, or as good as new, to other classes
    return model


def _freeze_norms(module: "nn.Module", *, eps: float) -> None:
    """Puts frozen norms in the place of batch norms, as torchvision has them in a trained detector."""
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=eps))
        else:
            _freeze_norms(child, eps=eps)


def _build_trained(
    name: str, member: Any, state: "Mapping[str, Tensor]", arguments: Mapping[str, object]
) -> "nn.Module":
    """The trained model as torchvision builds it for this record, filled from `state` in place of a download."""
    options = {key: value for key, value in arguments.items() if key != "num_classes"}
    if name == "googlenet" and options.get("aux_logits") is False:
        del options["aux_logits"]  # with weights its builder wants to leave the side heads out by itself
    try:
        with _reading_from(member, state):
            return _build(name, member, options)
    except RuntimeError as error:
        raise WeightsError(f"The file of {member} does not fit torchvision's {name}: {brief(error)}") from error


def _with_side_head(name: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """The arguments for a model with the side head that trained segmentation models have."""
    return {"aux_loss": True, **arguments} if "aux_loss" in accepted_arguments(_builder(name)) else dict(arguments)


@contextmanager
def _reading_from(member: Any, state: "Mapping[str, Tensor]") -> Iterator[None]:
    """Lets a torchvision weight record answer with `state` where it would download, until the end of the block."""
    with _RECORD_LOCK:
        member.get_state_dict = lambda *args, **options: dict(state)
        try:
            yield
        finally:
            del member.get_state_dict


def _take_changed(model: "nn.Module", fresh: "nn.Module") -> tuple[str, ...]:
    """Puts into `model` every module of `fresh` whose own tensors have another shape: the heads of other classes.

    Returns: their dotted paths.
    """
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    changed = {
        key.rpartition(".")[0]
        for key, tensor in fresh.state_dict().items()
        if "." in key and key in shapes and shapes[key] != tensor.shape
    }
    for path in changed:
        parent_path, _, attribute = path.rpartition(".")
        setattr(model.get_submodule(parent_path), attribute, fresh.get_submodule(path))
        while parent_path:  # detectors keep the number beside the layers that it shapes
            for count in ("num_classes", "num_columns"):
                if hasattr(fresh.get_submodule(parent_path), count):
                    setattr(model.get_submodule(parent_path), count, getattr(fresh.get_submodule(parent_path), count))
            parent_path = parent_path.rpartition(".")[0]
    if hasattr(fresh, "num_classes"):
        model.num_classes = fresh.num_classes  # type: ignore[assignment]
    return tuple(sorted(changed))
