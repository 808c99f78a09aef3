"""transformers' models: "hf:owner/repo" of the Hugging Face Hub, "hf:/a/folder", "hf:package:import_name/path" for a
folder inside an installed package, or "hf:vit" for an architecture.

An architecture's name builds the model of its default configuration, with random weights and without the network.
Nothing that a repository holds is ever run: architectures come from the installed transformers only, and files are
read with safetensors or PyTorch's `weights_only` reader.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from zoo.backends.base import WeightsChoice, brief, local_file, match_names
from zoo.backends.hf_config import (
    COUNTED,
    TASKS,
    Origin,
    find_origin,
    model_class,
    not_here,
    read_config,
    read_preprocessing,
    read_text_preprocessing,
    task_of,
)
from zoo.errors import UnknownNameError, WeightsError, nearest
from zoo.records import Entry, ImagePreprocessing, TextPreprocessing, Weights

if TYPE_CHECKING:
    from torch import nn

    from zoo.weights import LoadReport

logger = logging.getLogger("zoo.backends")

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Devlin et al. 2018, arXiv:1810.04805, appendix A.3: 2 to 5e-5 for all layers, 3 epochs, batches of 32. Rates here fall
# tenfold from the head to the first layers, and their geometric mean is then 3e-5.
TEXT_RECIPE = {"lr": 1e-4, "epochs": 3, "batch_size": 32, "weight_decay": 0.01}


class TransformersBackend:
    """Models of transformers, from the hub's cache, a folder, or an architecture's default configuration."""

    prefix = "hf"

    def list_models(self, pattern: str = "*", *, pretrained: bool = False) -> list[str]:
        """Full names of the repositories in this machine's Hugging Face cache only; the hub itself is not asked.

        With `pretrained`, only those whose weights are there too. "hf:owner/repo" of any other repository works.
        """
        from huggingface_hub import constants, scan_cache_dir
        from huggingface_hub.errors import CacheNotFound

        try:
            repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
        except CacheNotFound:
            return []
        names = []
        for repository in repositories:
            files = {file.file_name for revision in repository.revisions for file in revision.files}
            wanted = WEIGHT_FILES if pretrained else ("config.json",)
            if repository.repo_type == "model" and "config.json" in files and files.intersection(wanted):
                names.append(repository.repo_id)
        return match_names(self.prefix, names, pattern)

    def info(self, name: str) -> Entry:
        """What the configuration says: from the folder, the local cache or transformers, never from the network."""
        origin = find_origin(name)
        config = read_config(origin, {}, revision=None, offline=True, why="a look-up never downloads")
        task = task_of(config)
        sizes = getattr(config, "image_size", None)
        size = (sizes, sizes) if isinstance(sizes, int) else tuple(sizes or ())
        preprocessing = read_preprocessing(origin) if TASKS[task].takes == "image" else None
        if preprocessing is not None and not size:
            size = preprocessing.size
        text = read_text_preprocessing(name, origin, config, task)
        return Entry(
            name=f"{self.prefix}:{name}",
            task=task,
            builder=f"transformers:{model_class(config, None, counted=False).__name__}",
            summary=f"transformers' {type(config).__name__.removesuffix('Config')}",
            input_shape=(getattr(config, "num_channels", 3), *size) if size else (),
            weights=_records(origin, config, task, preprocessing or text),
            preprocessing=text,
            recipe=TEXT_RECIPE if text is not None else {},
        )

    def create(
        self, name: str, *, weights: WeightsChoice, arguments: Mapping[str, object], offline: bool | None = None
    ) -> "tuple[nn.Module, LoadReport | None]":
        """As `Backend.create`; a tag is a branch, tag or commit of the repository, or "main".

        arguments: num_classes; in_channels; task, one of `hf_config.TASKS`, for another head than the configuration's;
                   dtype, float32 if not given; and the fields of the model's configuration.
        """
        from zoo.weights import is_offline

        origin = find_origin(name)
        path = local_file(weights)
        random = weights is None or weights is False
        revision = None if random or weights is True or path or weights in ("default", "main") else str(weights)
        if origin.kind == "architecture" and not random and path is None:
            raise UnknownNameError(
                f"'hf:{name}' is an architecture without weights. Pass weights=None, the path of a file, or name a "
                f"repository such as 'hf:owner/repo'."
            )
        if origin.kind == "folder" and revision is not None:
            known = nearest(revision, ["default"])
            raise UnknownNameError(f"{name} is a folder: it has no weights {revision!r}. {known}")
        local_only = random or is_offline(offline)
        config = read_config(
            origin,
            arguments,
            revision=revision,
            offline=local_only,
            why="weights=None never downloads" if random else "the network is off",
        )
        task = arguments.get("task")
        network = model_class(config, None if task is None else str(task), counted="num_classes" in arguments)
        if random:
            return _build(network, config, arguments), None
        return self._load(origin, network, config, path, revision=revision, offline=local_only, arguments=arguments)

    def structure(self, name: str, *, weights: WeightsChoice) -> dict[str, object]:
        """Nothing: the structure follows from the name."""
        return {}

    def head(self, model: "nn.Module") -> str | None:
        """The part with parameters beside the body: classifier, score, lm_head; of several, one named for classes."""
        body = getattr(model, "base_model_prefix", "")
        names = [name for name, part in model.named_children() if any(True for _ in part.parameters())]
        if body not in names:
            return None
        heads = [name for name in names if name != body]
        named = [name for name in heads if "class" in name] or heads
        return named[-1] if named else None

    def _load(
        self,
        origin: Origin,
        network: Any,
        config: Any,
        path: Path | None,
        *,
        revision: str | None,
        offline: bool,
        arguments: Mapping[str, object],
    ) -> "tuple[nn.Module, LoadReport]":
        """The model with the tensors of a local file or folder, or of the origin."""
        from safetensors import SafetensorError

        from zoo.weights import read_state_dict

        options: dict[str, Any] = {"local_files_only": offline, "revision": revision or "main"}
        source: str | None = origin.name
        if path is not None and path.is_dir():
            source = str(path)
        elif path is not None:
            source, options = None, {"state_dict": read_state_dict(path)}
        if "attn_implementation" in arguments:
            options["attn_implementation"] = arguments["attn_implementation"]
        try:
            with _quiet():
                model, found = network.from_pretrained(
                    source,
                    config=config,
                    dtype=_dtype(arguments),
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                    weights_only=True,
                    trust_remote_code=False,
                    **options,
                )
        except OSError as error:
            why = "the network is off" if offline else brief(error)
            raise not_here(origin, "model.safetensors or pytorch_model.bin", why) from error
        except (UnpicklingError, SafetensorError, RuntimeError) as error:
            raise WeightsError(
                f"The weights of {path or origin.name} were not loaded: they are damaged, or ask to run code while "
                f"they are read, which a file of weights has no need of. The reader said: {brief(error)}"
            ) from error
        report = _report(model, found)
        _check_fit(report, body=getattr(model, "base_model_prefix", ""), source=path or origin.name)
        logger.info("%s: %s", type(model).__name__, report)
        return model, report


@contextmanager
def _quiet() -> Iterator[None]:
    """Inside, transformers shows neither a bar nor its own report of a loading, which the zoo's says once more."""
    from transformers.utils import logging as library

    level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        library.set_verbosity(level)
        if bars:
            library.enable_progress_bar()


def _dtype(arguments: Mapping[str, object]) -> Any:
    """The torch dtype of `dtype`, which may be a name; float32, in which training is safe, if there is none."""
    import torch

    dtype = arguments.get("dtype", "float32")
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise ValueError(f"Expected dtype to be a torch.dtype or the name of one, such as 'float32', got {dtype!r}.")
    return found


def _build(network: Any, config: Any, arguments: Mapping[str, object]) -> "nn.Module":
    if "attn_implementation" in arguments:
        config._attn_implementation = arguments["attn_implementation"]
    model: nn.Module = network(config).to(_dtype(arguments))
    return model


def _report(model: "nn.Module", found: Mapping[str, Any]) -> "LoadReport":
    """transformers' account of a loading as the zoo's report."""
    from zoo.weights import LoadReport

    own = model.state_dict()
    parameters = {name: parameter.numel() for name, parameter in model.named_parameters()}
    mismatched = tuple(sorted((name, tuple(given), tuple(wanted)) for name, given, wanted in found["mismatched_keys"]))
    new = tuple(sorted(found["missing_keys"]))
    fresh = {*new, *(row[0] for row in mismatched)}
    loaded = tuple(name for name in own if name not in fresh)
    return LoadReport(
        loaded=loaded,
        new=new,
        mismatched=mismatched,
        unused=tuple(sorted(found["unexpected_keys"])),
        num_tensors=len(loaded),
        num_params=sum(count for name, count in parameters.items() if name not in fresh),
        total_tensors=len(own),
        total_params=sum(parameters.values()),
    )


def _check_fit(report: "LoadReport", *, body: str, source: object) -> None:
    """Raises WeightsError if nothing fits, or something of the body is of another shape."""
    if not report.loaded:
        raise WeightsError(f"No tensor of {source} fits the model. Unused: {', '.join(report.unused[:4])}.")
    wrong = [row for row in report.mismatched if not body or row[0].startswith(f"{body}.")]
    if wrong:
        rows = "; ".join(f"{name} {given} -> {wanted}" for name, given, wanted in wrong[:4])
        raise WeightsError(
            f"{source} does not fit the model as asked for. Of another shape (file -> model): {rows}. Leave out the "
            "arguments that change the body, or pass weights=None."
        )


def _records(
    origin: Origin, config: Any, task: str, preprocessing: ImagePreprocessing | TextPreprocessing | None
) -> tuple[Weights, ...]:
    """The one record of a repository or folder. The hub publishes no sha256 beforehand."""
    if origin.kind == "architecture":
        return ()
    file = f"{origin.name}/model.safetensors"
    return (
        Weights(
            tag="main" if origin.kind == "hub" else "default",
            source=f"hf-hub:{file}" if origin.kind == "hub" else f"file:{file}",
            sha256="",
            licence="not stated in the configuration",
            preprocessing=preprocessing,
            num_classes=config.num_labels if task in COUNTED else None,
        ),
    )
