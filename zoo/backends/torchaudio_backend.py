"""torchaudio's models by the name of their factory, with the trained weights of `torchaudio.pipelines` as tags.

torchaudio publishes no sha256 of its files: they are taken unchecked, and a warning says so. A trained model is built
with the options that its weights were trained with; arguments go over them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.backends.base import (
    WeightsChoice,
    accepted_arguments,
    check_arguments,
    check_model_name,
    fetch,
    find_weights,
    local_file,
    match_names,
    torch_hub_file,
)
from zoo.errors import UnknownArgumentError
from zoo.records import Entry, Weights

if TYPE_CHECKING:
    from torch import Tensor, nn

    from zoo.weights import LoadReport

FILES_URL = "https://download.pytorch.org/torchaudio/models"
# What the bundles' documentation says, and what it means.
LICENCES = {
    "MIT License": "MIT",
    "CC BY-NC 4.0": "CC-BY-NC-4.0",
    "Attribution Non Commercial 4.0": "CC-BY-NC-4.0",
    "Attribution 4.0": "CC-BY-4.0",
}
ASR_HOURS = ("10M", "100H", "960H")


@dataclass(frozen=True, slots=True)
class Model:
    """One factory of torchaudio.models.

    builder: its name there; for a class, its name in lower case is the model's.
    bundles: names in torchaudio.pipelines of weights with this architecture, the default first.
    """

    builder: str
    task: str
    bundles: tuple[str, ...] = ()


SPEECH = "audio/recognition"
MODELS = {
    "wav2vec2_base": Model(
        "wav2vec2_base",
        SPEECH,
        (
            "WAV2VEC2_BASE",
            *(f"WAV2VEC2_ASR_BASE_{hours}" for hours in ASR_HOURS),
            *(f"VOXPOPULI_ASR_BASE_10K_{language}" for language in ("EN", "ES", "DE", "FR", "IT")),
        ),
    ),
    "wav2vec2_large": Model(
        "wav2vec2_large", SPEECH, ("WAV2VEC2_LARGE", *(f"WAV2VEC2_ASR_LARGE_{hours}" for hours in ASR_HOURS))
    ),
    "wav2vec2_large_lv60k": Model(
        "wav2vec2_large_lv60k",
        SPEECH,
        (
            "WAV2VEC2_LARGE_LV60K",
            *(f"WAV2VEC2_ASR_LARGE_LV60K_{hours}" for hours in ASR_HOURS),
            "WAV2VEC2_XLSR53",
        ),
    ),
    "wav2vec2_xlsr_300m": Model("wav2vec2_xlsr_300m", SPEECH, ("WAV2VEC2_XLSR_300M",)),
    "wav2vec2_xlsr_1b": Model("wav2vec2_xlsr_1b", SPEECH, ("WAV2VEC2_XLSR_1B",)),
    "wav2vec2_xlsr_2b": Model("wav2vec2_xlsr_2b", SPEECH, ("WAV2VEC2_XLSR_2B",)),
    "hubert_base": Model("hubert_base", SPEECH, ("HUBERT_BASE",)),
    "hubert_large": Model("hubert_large", SPEECH, ("HUBERT_LARGE", "HUBERT_ASR_LARGE")),
    "hubert_xlarge": Model("hubert_xlarge", SPEECH, ("HUBERT_XLARGE", "HUBERT_ASR_XLARGE")),
    "wavlm_base": Model("wavlm_base", SPEECH, ("WAVLM_BASE", "WAVLM_BASE_PLUS")),
    "wavlm_large": Model("wavlm_large", SPEECH, ("WAVLM_LARGE",)),
    "emformer_rnnt_base": Model("emformer_rnnt_base", SPEECH, ("EMFORMER_RNNT_BASE_LIBRISPEECH",)),
    "wav2letter": Model("Wav2Letter", SPEECH),
    "deepspeech": Model("DeepSpeech", SPEECH),
    "conformer": Model("Conformer", SPEECH),
    "conv_tasnet_base": Model("conv_tasnet_base", "audio/source_separation", ("CONVTASNET_BASE_LIBRI2MIX",)),
    "hdemucs_low": Model("hdemucs_low", "audio/source_separation"),
    "hdemucs_medium": Model("hdemucs_medium", "audio/source_separation"),
    "hdemucs_high": Model("hdemucs_high", "audio/source_separation", ("HDEMUCS_HIGH_MUSDB_PLUS", "HDEMUCS_HIGH_MUSDB")),
    "tacotron2": Model(
        "Tacotron2",
        "audio/synthesis",
        tuple(
            f"TACOTRON2_{vocoder}_{unit}_LJSPEECH"
            for vocoder in ("WAVERNN", "GRIFFINLIM")
            for unit in ("PHONE", "CHAR")
        ),
    ),
    "squim_objective_base": Model("squim_objective_base", "audio/quality", ("SQUIM_OBJECTIVE",)),
    "squim_subjective_base": Model("squim_subjective_base", "audio/quality", ("SQUIM_SUBJECTIVE",)),
}
# How each factory calls the number of outputs.
CLASS_ARGUMENTS = ("aux_num_out", "num_classes", "n_class", "num_symbols", "n_symbol")


class TorchaudioBackend:
    """The models of torchaudio.models that a name and options are enough to build."""

    prefix = "torchaudio"

    def list_models(self, pattern: str = "*", *, pretrained: bool = False) -> list[str]:
        """Full names that fit the glob; with `pretrained` only those with weights in torchaudio.pipelines."""
        names = [name for name, model in MODELS.items() if model.bundles or not pretrained]
        return match_names(self.prefix, names, pattern)

    def info(self, name: str) -> Entry:
        """Task and weights. Inputs are waveforms of any length, or features: input_shape is empty."""
        model = _model(name)
        return Entry(
            name=f"{self.prefix}:{name}",
            task=model.task,
            builder=f"torchaudio.models:{model.builder}",
            summary=f"torchaudio's {model.builder}",
            weights=tuple(_record(tag) for tag in model.bundles),
        )

    def create(
        self, name: str, *, weights: WeightsChoice, arguments: Mapping[str, object], offline: bool | None = None
    ) -> "tuple[nn.Module, LoadReport | None]":
        """As `Backend.create`; num_classes is what the factory calls aux_num_out, n_class or num_symbols."""
        from zoo.weights import load_weights, read_state_dict

        model = _model(name)
        factory = _factory(model)
        options = _options(name, factory, arguments)
        path = local_file(weights)
        if weights is None or weights is False:
            return _build(name, factory, options), None
        tag = next((tag for tag in model.bundles if path is not None and _file(tag) == path.name), None)
        if path is None:
            tag = find_weights(f"torchaudio:{name}", self.info(name).weights, weights).tag
            path = fetch(_record(tag), offline=offline, cached=_library_file(tag))
        state = read_state_dict(path)
        if tag is None:
            network = _build(name, factory, options)
            return network, load_weights(network, state, allow=("aux",))
        network = _build(name, partial(_trained_factory(factory, tag), **_trained_options(tag)), options)
        report = load_weights(network, _without_foreign_outputs(state, tag), allow=("aux",))
        return _normalising(network, tag), report

    def structure(self, name: str, *, weights: WeightsChoice) -> dict[str, object]:
        """Nothing: the structure follows from the name."""
        return {}

    def head(self, model: "nn.Module") -> str | None:
        """The linear layer over the encoder's frames, where there is one."""
        modules = dict(model.named_modules())
        return next((path for path in ("aux", "model.aux") if path in modules), None)


def _model(name: str) -> Model:
    check_model_name("torchaudio", name, MODELS)
    return MODELS[name]


def _factory(model: Model) -> Callable[..., "nn.Module"]:
    import torchaudio.models

    factory: Callable[..., nn.Module] = getattr(torchaudio.models, model.builder)
    return factory


def _options(name: str, factory: Callable[..., "nn.Module"], arguments: Mapping[str, object]) -> dict[str, Any]:
    """The arguments under the factory's names.

    Raises: UnknownArgumentError for one that it does not take.
    """
    known = accepted_arguments(factory)
    options = dict(arguments)
    if "num_classes" in options and "num_classes" not in known:
        for argument in CLASS_ARGUMENTS:
            if argument in known:
                options[argument] = options.pop("num_classes")
                break
        else:
            raise UnknownArgumentError(f"torchaudio:{name} has no classifier, so it takes no num_classes.")
    check_arguments(f"torchaudio:{name}", options, known)
    return options


def _build(name: str, factory: Callable[..., "nn.Module"], options: Mapping[str, Any]) -> "nn.Module":
    """A model by its factory.

    Raises: ValueError if an argument is missing that the factory has no default for.
    """
    try:
        return factory(**options)
    except TypeError as error:
        if "missing" not in str(error):
            raise
        raise ValueError(f"torchaudio:{name} cannot be built without further arguments: {error}") from error


def _bundle(tag: str) -> Any:
    import torchaudio.pipelines

    return getattr(torchaudio.pipelines, tag)


def _first_attribute(bundle: Any, *names: str) -> Any:
    """The first of the attributes that the bundle has; torchaudio offers these facts under private names only."""
    return next((getattr(bundle, name) for name in names if hasattr(bundle, name)), None)


def _file(tag: str) -> str:
    path: str = _first_attribute(_bundle(tag), "_path", "_model_path", "_tacotron2_path", "_rnnt_path")
    return path.rpartition("/")[2]


def _library_file(tag: str) -> Path:
    """Where torchaudio itself keeps the file."""
    url = f"{FILES_URL}/{_file(tag)}"
    in_hub = torch_hub_file(url)
    return in_hub if in_hub.is_file() else torch_hub_file(url, "torchaudio/models")


def _record(tag: str) -> Weights:
    """A bundle as the zoo's record. The licence is the one that the bundle's documentation names."""
    bundle = _bundle(tag)
    text = bundle.__doc__ or ""
    rate = getattr(bundle, "sample_rate", None)
    return Weights(
        tag=tag,
        source=f"{FILES_URL}/{_file(tag)}",
        sha256="",
        licence=next((licence for words, licence in LICENCES.items() if words in text), "not stated by torchaudio"),
        preprocessing=None if rate is None else {"sample_rate_hz": rate},
        num_classes=_trained_options(tag).get("aux_num_out"),
        protocol="no metrics in the package; torchaudio's documentation of the bundle describes its training",
    )


def _trained_factory(factory: Callable[..., "nn.Module"], tag: str) -> Callable[..., "nn.Module"]:
    """The factory that takes all of `_trained_options`: of wav2vec 2.0 and WavLM, the one under the named sizes."""
    import torchaudio.models

    general = {"Wav2Vec2": torchaudio.models.wav2vec2_model, "WavLM": torchaudio.models.wavlm_model}
    return general.get(getattr(_bundle(tag), "_model_type", ""), factory)


def _trained_options(tag: str) -> dict[str, Any]:
    """Options of the model's factory with which the weights were trained."""
    bundle = _bundle(tag)
    options = _first_attribute(bundle, "_params", "_tacotron2_params")
    if options is None:
        options = getattr(_first_attribute(bundle, "_model_factory_func", "_rnnt_factory_func"), "keywords", {})
    return dict(options)


def _without_foreign_outputs(state: "dict[str, Tensor]", tag: str) -> "dict[str, Tensor]":
    """The tensors without the rows of the last layer that fairseq's dictionaries carry and speech never uses."""
    foreign = getattr(_bundle(tag), "_remove_aux_axis", ())
    expected = _trained_options(tag).get("aux_num_out")
    for key in ("aux.weight", "aux.bias"):
        if key in state and len(state[key]) != expected:
            kept = [row for row in range(len(state[key])) if row not in foreign]
            state = {**state, key: state[key][kept]}
    return state


def _normalising(model: "nn.Module", tag: str) -> "nn.Module":
    """The model behind torchaudio's normalisation of the waveform, for weights that were trained so."""
    if not getattr(_bundle(tag), "_normalize_waveform", False):
        return model
    from torchaudio.pipelines._wav2vec2.utils import _extend_model

    wrapped: nn.Module = _extend_model(model, normalize_waveform=True)
    return wrapped
