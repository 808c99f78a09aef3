"""timm's image models: "timm:resnet50" with its default weights, or "timm:resnet50.a1_in1k" with those of a tag.

A trained model is loaded by timm itself, from a file that lies here already, so that timm's conversions of old
checkpoints and of the number of input channels apply. timm loads it with its own classes and strictly; what fits a
model with another head is then copied over with a load report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.backends.base import (
    WeightsChoice,
    accepted_arguments,
    brief,
    check_model_name,
    fetch,
    find_weights,
    local_file,
    match_names,
    naming_arguments,
    published_hash,
    refuse_argument,
)
from zoo.errors import WeightsError
from zoo.records import Entry, ImagePreprocessing, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.weights import LoadReport

# Arguments of timm.create_model that say where weights come from: here `weights` and `offline` do.
RESERVED = {"model_name", "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir"}
# Arguments of timm's builder that turn a classifier into a feature extractor; they name tensors in another way.
FEATURE_ARGUMENTS = {"features_only", "out_indices", "feature_cls", "output_stride"}
BUILDER_ARGUMENTS = FEATURE_ARGUMENTS | {"scriptable", "exportable", "no_jit", "num_classes", "in_channels"}


class TimmBackend:
    """Every model of timm's registry, by architecture or by architecture and tag."""

    prefix = "timm"

    def list_models(self, pattern: str = "*", *, pretrained: bool = False) -> list[str]:
        """Architectures and "architecture.tag" names that fit the glob; with `pretrained` only those with a tag."""
        import timm

        names = timm.list_pretrained()
        return match_names(self.prefix, names if pretrained else {*names, *timm.list_models()}, pattern)

    def info(self, name: str) -> Entry:
        """The weights of the tag in `name`, or of every tag of the architecture, timm's default first."""
        import timm

        architecture, tag = _split(name)
        default = timm.get_pretrained_cfg(architecture)
        tags = [tag] if tag else sorted(_tags(architecture), key=lambda tag: default is None or tag != default.tag)
        configuration = timm.get_pretrained_cfg(name) or default
        return Entry(
            name=f"{self.prefix}:{name}",
            task="vision/classification",
            builder=f"timm:{architecture}",
            summary=f"timm's {architecture}",
            input_shape=tuple(configuration.input_size) if configuration else (),
            weights=tuple(_record(architecture, tag) for tag in tags),
        )

    def create(
        self, name: str, *, weights: WeightsChoice, arguments: Mapping[str, object], offline: bool | None = None
    ) -> "tuple[nn.Module, LoadReport | None]":
        """As `Backend.create`; in_channels is timm's in_chans."""
        from zoo.weights import load_weights, read_state_dict

        architecture, _ = _split(name)
        options = _timm_arguments(name, arguments)
        path = local_file(weights)
        if weights is None or weights is False:
            return _build(name, options), None
        # Built before any download where it is needed, for that shows a wrong argument.
        target = _build(name, options) if options or path is not None else None
        if target is not None and path is not None:
            differences = _differences(read_state_dict(path), target)
        else:
            record = find_weights(f"timm:{name}", self.info(name).weights, weights)
            name, path = f"{architecture}.{record.tag}", _fetch(record, offline)
            differences = {"num_classes": record.num_classes}
        source = _build_trained(name, path, options, differences)
        target = target or source
        resized = _resized_weights(source, options.get("in_chans"))
        report = load_weights(target, _renamed(source, target), allow=_classifiers(target))
        return target, _with_adapted(report, resized, _configuration(source)["input_size"][0])

    def structure(self, name: str, *, weights: WeightsChoice) -> dict[str, object]:
        """Nothing: the structure follows from the name."""
        return {}

    def head(self, model: "nn.Module") -> str | None:
        """The classifier that timm's configuration names; the first one of a distilled model."""
        from torch import nn

        modules = dict(model.named_modules())
        paths = [path for path in _classifiers(model) if not isinstance(modules.get(path), nn.Identity | None)]
        return paths[0] if paths else None


def _split(name: str) -> tuple[str, str]:
    """ "resnet50.a1_in1k" to its architecture and tag, "" without one.

    Raises: UnknownNameError with timm's nearest names.
    """
    import timm

    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        check_model_name("timm", architecture, timm.list_models())
    if tag and tag not in _tags(architecture):
        check_model_name("timm", name, [f"{architecture}.{known}" for known in _tags(architecture)])
    return architecture, tag


def _tags(architecture: str) -> list[str]:
    """Tags of an architecture that have weights."""
    import timm.models

    configurations = timm.models.get_arch_pretrained_cfgs(architecture)
    return [name.partition(".")[2] for name, configuration in configurations.items() if configuration.has_weights]


def _record(architecture: str, tag: str) -> Weights:
    """A pretrained configuration of timm as the zoo's record.

    timm publishes no hash of the files on the hub: their records have an empty sha256.
    """
    import timm

    configuration: Any = timm.get_pretrained_cfg(f"{architecture}.{tag}")
    source: str = configuration.url
    if configuration.hf_hub_id:
        source = f"hf-hub:{configuration.hf_hub_id}/{configuration.hf_hub_filename or 'model.safetensors'}"
    _, height, width = configuration.input_size
    return Weights(
        tag=tag,
        source=source,
        sha256="" if configuration.hf_hub_id else published_hash(source),
        licence=configuration.license or "not stated by timm",
        preprocessing=ImagePreprocessing(
            size=(height, width),
            resize=int(min(height, width) / configuration.crop_pct),
            interpolation=configuration.interpolation,
            mean=tuple(configuration.mean),
            std=tuple(configuration.std),
        ),
        num_classes=configuration.num_classes,
        protocol="no metrics in the package; timm's repository holds results of every model",
    )


def _timm_arguments(name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """The arguments under timm's names. None is passed over by timm even for names that it does not know."""
    for argument in arguments:
        if argument in RESERVED:
            raise refuse_argument(f"timm:{name}", argument, BUILDER_ARGUMENTS | {"weights", "offline"})
    options = dict(arguments)
    if "in_channels" in options:
        options["in_chans"] = options.pop("in_channels")
    unset = [argument for argument, value in options.items() if value is None]
    if unset:
        known = _known_arguments(name)
        for argument in unset:
            if argument not in known:
                raise refuse_argument(f"timm:{name}", argument, known)
    return options


def _known_arguments(name: str) -> set[str]:
    """What timm's builder and the class of the model take, from their signatures."""
    import timm
    import torch

    with torch.device("meta"):
        model = timm.create_model(name)
    return accepted_arguments(type(model)) - {"cfg"} | BUILDER_ARGUMENTS


def _build(name: str, arguments: Mapping[str, Any], **options: Any) -> "nn.Module":
    """A model by timm.create_model; `options` are of that function."""
    import timm

    with naming_arguments(f"timm:{name}", lambda: _known_arguments(name)):
        model: nn.Module = timm.create_model(name, **options, **arguments)
        return model


def _fetch(record: Weights, offline: bool | None) -> Path:
    """The file of a record; older repositories on the hub hold only the format before safetensors."""
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    try:
        return fetch(record, offline=offline)
    except WeightsError as error:
        cause = error.__cause__
        if not isinstance(cause, EntryNotFoundError) or isinstance(cause, LocalEntryNotFoundError):
            raise
        older = replace(record, source=record.source.replace("/model.safetensors", "/pytorch_model.bin"))
        return fetch(older, offline=offline)


def _configuration(model: "nn.Module") -> Mapping[str, Any]:
    """What timm notes at a model: its classifier, first convolution, input size and more."""
    configuration: Mapping[str, Any] = getattr(model, "pretrained_cfg", {})
    return configuration


def _parts(model: "nn.Module", kind: str) -> tuple[str, ...]:
    """Dotted paths that timm's configuration has under `kind`: a string, several, or none."""
    named = _configuration(model).get(kind) or ()
    return (named,) if isinstance(named, str) else tuple(named)


def _classifiers(model: "nn.Module") -> tuple[str, ...]:
    return _parts(model, "classifier")  # two in a distilled model, none in some


def _differences(state: "Mapping[str, Tensor]", target: "nn.Module") -> dict[str, Any]:
    """What timm must be told of a user's file to load all of it: how many classes and input channels it has.

    A file whose tensors have other names than the model's is taken for one that timm has a conversion for.
    """
    found: dict[str, Any] = {}
    own = dict(target.named_parameters())
    classifiers = [f"{path}.weight" for path in _classifiers(target)]
    if classifiers and classifiers[0] in state:
        found["num_classes"] = int(state[classifiers[0]].shape[0])
    stems = [f"{path}.weight" for path in _parts(target, "first_conv")]
    if stems and all(key in own and key in state and own[key].shape == state[key].shape for key in stems):
        _, *size = _configuration(target)["input_size"]
        channels = getattr(target, "in_chans", None) or own[stems[0]].shape[1]
        found["input_size"] = (channels, *size)
    return found


def _build_trained(name: str, path: Path, arguments: Mapping[str, Any], differences: Mapping[str, Any]) -> "nn.Module":
    """The classifier with all of the file's tensors in it, converted by timm.

    differences: of the file from timm's configuration.
    Raises:      WeightsError if the file cannot be read safely, or does not hold this architecture.
    """
    from safetensors import SafetensorError

    dropped = FEATURE_ARGUMENTS | {"num_classes"}
    options = {key: value for key, value in arguments.items() if key not in dropped}
    if "num_classes" in differences:
        options["num_classes"] = differences["num_classes"]
    overlay = {**differences, "file": str(path), "custom_load": False}
    try:
        model = _build(name, options, pretrained=True, pretrained_cfg_overlay=overlay)
    except (RuntimeError, KeyError, OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be loaded into timm's {name}: {brief(error)}") from error
    channels = options.get("in_chans")
    for key, shape in _resized_weights(model, channels):
        if len(shape) != 4 or (channels != 1 and shape[1] != channels):
            raise WeightsError(f"timm cannot adapt {key} of {name} to {channels} input channels. Pass weights=None.")
    return model


def _resized_weights(model: "nn.Module", in_chans: int | None) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the weights that timm resized to `in_chans` channels; none if these are the file's."""
    if in_chans is None or in_chans == _configuration(model)["input_size"][0]:
        return []
    own = dict(model.named_parameters())
    keys = [f"{path}.weight" for path in _parts(model, "first_conv")]
    return [(key, tuple(own[key].shape)) for key in keys if key in own]


def _with_adapted(
    report: "LoadReport", resized: "Sequence[tuple[str, tuple[int, ...]]]", channels: int
) -> "LoadReport":
    """The report with the `resized` weights, from `channels` input channels, among the adapted ones."""
    names = {key for key, _ in resized}
    adapted = tuple((key, (shape[0], channels, *shape[2:]), shape) for key, shape in resized if key in report.loaded)
    return replace(report, loaded=tuple(key for key in report.loaded if key not in names), adapted=adapted)


def _renamed(source: "nn.Module", target: "nn.Module") -> "dict[str, Tensor]":
    """The tensors of `source` under the names of `target`.

    timm's feature extractors put their modules below `model.`, or write the dots within a stage as underscores.
    """
    given = source.state_dict()
    flat = {key.replace(".", "_"): key for key in given}
    names = {flat.get(key.removeprefix("model.").replace(".", "_"), key): key for key in target.state_dict()}
    return {names.get(key, key): tensor for key, tensor in given.items()}
