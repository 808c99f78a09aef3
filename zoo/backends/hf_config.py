"""Which transformers model a name means: its configuration, and the class of network with it.

Everything here reads small files only: config.json and preprocessor_config.json.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zoo.backends.base import accepted_arguments, brief, check_arguments
from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError, check_name, nearest
from zoo.records import ImagePreprocessing, TextPreprocessing, Weights


@dataclass(frozen=True, slots=True)
class Head:
    """What transformers has for a task.

    table:   its table from configurations to models.
    takes:   what the models look at, which says where their preprocessing is written down.
    counted: whether the head has num_classes outputs.
    """

    table: str
    takes: Literal["image", "text", "sound", "any"]
    counted: bool = False


# The first task whose table holds a configuration gives the model where neither the configuration nor the user names
# one.
TASKS = {
    "vision/classification": Head("MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING", "image", counted=True),
    "nlp/classification": Head("MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING", "text", counted=True),
    "audio/classification": Head("MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING", "sound", counted=True),
    "vision/video": Head("MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING", "image", counted=True),
    "vision/detection": Head("MODEL_FOR_OBJECT_DETECTION_MAPPING", "image", counted=True),
    "vision/segmentation": Head("MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING", "image", counted=True),
    "nlp/token_classification": Head("MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING", "text", counted=True),
    "nlp/translation": Head("MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING", "text"),
    "nlp/language_modelling": Head("MODEL_FOR_CAUSAL_LM_MAPPING", "text"),
    "nlp/masked_language_modelling": Head("MODEL_FOR_MASKED_LM_MAPPING", "text"),
    "nlp/question_answering": Head("MODEL_FOR_QUESTION_ANSWERING_MAPPING", "text"),
    "audio/recognition": Head("MODEL_FOR_CTC_MAPPING", "sound"),
    "features": Head("MODEL_MAPPING", "any"),
}
COUNTED = tuple(task for task, head in TASKS.items() if head.counted)
PACKAGE = "package:"
TOKENIZER_CONFIG = "tokenizer_config.json"
NO_LIMIT = 1_000_000  # transformers writes 1e30 where a tokenizer has no longest text
EXTRA_ARGUMENTS = {"num_classes", "in_channels", "task", "dtype", "attn_implementation"}
INTERPOLATIONS: "dict[int, Literal['nearest', 'bilinear', 'bicubic']]" = {0: "nearest", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model's configuration and weights are."""

    name: str
    kind: Literal["hub", "folder", "architecture"]


def find_origin(name: str) -> Origin:
    """Which of the three kinds `name` is; "package:import_name/path" is a folder inside an installed package.

    Raises: UnknownNameError with transformers' nearest architectures for a name that is none; WeightsError for a
            package that is not installed, or has no such folder.
    """
    from transformers import CONFIG_MAPPING

    folder = Path(installed_folder(name)).expanduser()
    if (folder / "config.json").is_file():
        return Origin(str(folder), "folder")
    if name.startswith(("/", ".", "~")):
        raise UnknownNameError(f"There is no folder {name} with config.json and the weights in it.")
    if "/" in name:
        return Origin(name, "hub")
    architectures = list(CONFIG_MAPPING.keys())
    if name not in architectures:
        raise UnknownNameError(
            f"transformers has no architecture {name!r}. {nearest(name, architectures)} "
            f"Repositories of the hub are named 'hf:owner/repo', folders 'hf:/path/to/folder'."
        )
    return Origin(name, "architecture")


def installed_folder(name: str) -> str:
    """The folder that "package:import_name/path" names, found without importing the package; another name as it is.

    Raises: WeightsError if the package is not installed, or the folder holds no config.json.
    """
    from zoo.weights import resolve

    if not name.startswith(PACKAGE):
        return name
    config = Weights(tag="config", source=f"{name.rstrip('/')}/config.json", sha256="", licence="")
    return str(resolve(config, check_hash=False).parent)


def read_config(
    origin: Origin, arguments: Mapping[str, object], *, revision: str | None, offline: bool, why: str
) -> Any:
    """The configuration with the user's arguments over it.

    why:    reason to give for being offline.
    Raises: UnknownArgumentError, or WeightsError if the configuration cannot be had.
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    def read(**fields: Any) -> Any:
        if origin.kind == "architecture":
            return CONFIG_MAPPING[origin.name](**fields)
        try:
            return AutoConfig.from_pretrained(
                origin.name, revision=revision or "main", local_files_only=offline, trust_remote_code=False, **fields
            )
        except OSError as error:
            raise not_here(origin, "config.json", why if offline else brief(error)) from error
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise WeightsError(f"The configuration of {origin.name} cannot be used: {brief(error)}") from error
            raise WeightsError(
                f"{origin.name} is not of an architecture of the installed transformers: it brings code of its own, "
                "and code from a repository is never run here."
            ) from error

    config = read()
    label = f"hf:{origin.name}"
    known = accepted_arguments(type(config)) | set(type(config).attribute_map)
    check_arguments(label, arguments, known | EXTRA_ARGUMENTS)
    fields = {key: value for key, value in arguments.items() if key not in EXTRA_ARGUMENTS}
    if "in_channels" in arguments:
        if "num_channels" not in known:
            raise UnknownArgumentError(f"{label} takes no in_channels: its configuration has no number of channels.")
        fields["num_channels"] = arguments["in_channels"]
    if fields:
        config = read(**fields)
    if "num_classes" in arguments:
        config.num_labels = arguments["num_classes"]
    return config


def model_class(config: Any, task: str | None, *, counted: bool) -> Any:
    """The class of the model: of the task if one is given, else of the configuration, else of the first task.

    counted: whether the head must be one with num_classes outputs.
    Raises:  ValueError if transformers has no such head for this architecture.
    """
    import transformers

    if task is not None:
        check_name("task of transformers' models", task, TASKS)
    named = (getattr(config, "architectures", None) or [None])[0]
    if task is None and named is not None and (not counted or task_of(config) in COUNTED):
        if not hasattr(transformers, named):
            raise WeightsError(
                f"The installed transformers has no {named}. Code from a repository is never run; update transformers "
                f"or pass task=... for one of its own heads."
            )
        return getattr(transformers, named)
    wanted = (task,) if task else COUNTED if counted else tuple(TASKS)
    fitting = {name: table[type(config)] for name, table in _tables().items() if type(config) in table}
    for name in wanted:
        if name in fitting:
            found = fitting[name]
            return found[0] if isinstance(found, tuple) else found
    kind = f"for the task {task!r}" if task else "with num_classes outputs"
    known = ", ".join(fitting) or "none"
    raise ValueError(f"transformers has no head {kind} for {type(config).__name__}; it has: {known}.")


def _tables() -> dict[str, Any]:
    import transformers

    return {task: getattr(transformers, head.table) for task, head in TASKS.items()}


def task_of(config: Any) -> str:
    """The zoo's task of the model that the configuration names, "features" for one without a known head."""
    named = (getattr(config, "architectures", None) or [None])[0]
    for task, table in _tables().items():
        if type(config) in table:
            classes = table[type(config)]
            names = [entry.__name__ for entry in (classes if isinstance(classes, tuple) else (classes,))]
            if named is None or named in names:
                return task
    return "features"


def read_preprocessing(origin: Origin) -> ImagePreprocessing | None:
    """The image preprocessing that lies beside the configuration, None if it is not here or of an unusual kind."""
    from huggingface_hub import try_to_load_from_cache

    if origin.kind == "folder":
        path: Any = Path(origin.name, "preprocessor_config.json")
    elif origin.kind == "hub":
        path = try_to_load_from_cache(origin.name, "preprocessor_config.json")
    else:
        return None
    if not isinstance(path, str | Path) or not Path(path).is_file():
        return None
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    resize = fields.get("size")
    size = fields.get("crop_size") or resize
    if not isinstance(size, dict) or "height" not in size or "image_mean" not in fields:
        return None
    edges: Mapping[str, int] = resize if isinstance(resize, dict) else size
    return ImagePreprocessing(
        size=(size["height"], size["width"]),
        resize=edges.get("shortest_edge", size["height"]),
        interpolation=INTERPOLATIONS.get(fields.get("resample", 2), "bilinear"),
        mean=tuple(fields["image_mean"]),
        std=tuple(fields["image_std"]),
    )


def read_text_preprocessing(name: str, origin: Origin, config: Any, task: str) -> TextPreprocessing | None:
    """The tokenizer that lies beside the configuration of a model of text, None where there is none.

    name: as the user gave it; a folder's is made absolute, so that a run finds it from anywhere.
    """
    from huggingface_hub import try_to_load_from_cache

    tables = _tables()
    is_text = TASKS[task].takes == "text" or (
        TASKS[task].takes == "any"
        and any(head.counted and head.takes == "text" and type(config) in tables[name] for name, head in TASKS.items())
    )
    if origin.kind == "architecture" or not is_text:
        return None
    file: Any = Path(origin.name, TOKENIZER_CONFIG)
    if origin.kind == "hub":
        file = try_to_load_from_cache(origin.name, TOKENIZER_CONFIG)
    limits = [getattr(config, "max_position_embeddings", None)]
    if isinstance(file, str | Path) and Path(file).is_file():
        limits.append(json.loads(Path(file).read_text(encoding="utf-8")).get("model_max_length"))
    elif origin.kind == "folder" and not Path(origin.name, "tokenizer.json").is_file():
        return None
    known = [int(limit) for limit in limits if limit is not None and limit < NO_LIMIT]
    tokenizer = str(Path(origin.name).absolute()) if origin.kind == "folder" else name
    return TextPreprocessing(
        tokenizer=name if name.startswith(PACKAGE) else tokenizer, max_length=min(known, default=None)
    )


def not_here(origin: Origin, file: str, why: str) -> WeightsError:
    """The error for a file that is neither here nor can be fetched."""
    from huggingface_hub import constants

    if origin.kind == "folder":
        return WeightsError(f"{origin.name} cannot be loaded. Wanted: {file} in this folder. {why}")
    return WeightsError(
        f"{origin.name} cannot be loaded: {why.rstrip('.')}. Wanted: {file} of the hub's repository {origin.name}. "
        f"Looked for: {constants.HF_HUB_CACHE}. With the files at hand, name their folder: 'hf:/path/to/folder', or "
        f"pass weights='path/to/model.safetensors' where only the weights are missing."
    )
