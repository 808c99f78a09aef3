"""What every backend offers, and the checks that all of them share."""

import fnmatch
import inspect
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from zoo.errors import UnknownArgumentError, UnknownNameError, WeightsError, nearest
from zoo.records import Entry, Weights

if TYPE_CHECKING:
    from torch import nn

    from zoo.weights import LoadReport

logger = logging.getLogger("zoo.backends")

WeightsChoice = str | bool | os.PathLike[str] | None

_UNEXPECTED = re.compile(
    r"unexpected keyword argument(?:\(s\): \[)? ?'(\w+)'|multiple values for (?:keyword )?argument '(\w+)'"
)
_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+$")  # the convention of torch.hub


class Backend(Protocol):
    """Another library's models by name. Every `name` is without the "prefix:" of the backend."""

    prefix: str

    def list_models(self, pattern: str = "*", *, pretrained: bool = False) -> list[str]:
        """Full names, prefix included, that fit the glob `pattern`; with `pretrained` only those with weights."""
        ...

    def info(self, name: str) -> Entry:
        """What the library publishes of a model, without building it; the first weights are the default ones.

        Raises: UnknownNameError with the library's nearest names.
        """
        ...

    def create(
        self, name: str, *, weights: WeightsChoice, arguments: Mapping[str, object], offline: bool | None = None
    ) -> "tuple[nn.Module, LoadReport | None]":
        """The model, with a load report if weights were asked for.

        weights:   None for random initialisation, which never downloads; "default" or True for the library's
                   default; a tag of `info(name).weights`; or the path of a local file.
        arguments: num_classes, in_channels and what the library's own builder takes.
        offline:   True never touches the network; None asks ZOO_OFFLINE and HF_HUB_OFFLINE.
        Raises:    UnknownNameError, UnknownArgumentError, WeightsError.
        """
        ...

    def structure(self, name: str, *, weights: WeightsChoice) -> dict[str, object]:
        """Builder arguments that the library sets by itself with these weights, so that the trained structure can be
        built again without them; empty where weights change no structure.
        """
        ...

    def head(self, model: "nn.Module") -> str | None:
        """Dotted path of the classifier that fine-tuning replaces, or None if the model has none."""
        ...


def match_names(prefix: str, names: Iterable[str], pattern: str) -> list[str]:
    """The `names` that fit the glob, sorted, with the prefix put before them. `pattern` may hold the prefix too."""
    bare = pattern.removeprefix(f"{prefix}:")
    return sorted(f"{prefix}:{name}" for name in names if fnmatch.fnmatchcase(name, bare))


def check_model_name(prefix: str, name: str, known: Iterable[str]) -> None:
    """Raises UnknownNameError with the nearest names of that library."""
    names = list(known)
    if name not in names:
        raise UnknownNameError(f"{prefix} has no model {name!r}. {nearest(name, names)}")


def local_file(weights: WeightsChoice) -> Path | None:
    """The file or folder that `weights` names, or None if it is a tag, "default", a truth value or None.

    Raises: WeightsError for a Path, or a string that is clearly one, where nothing lies.
    """
    if weights is None or isinstance(weights, bool) or weights == "default":
        return None
    path = Path(weights).expanduser()
    if path.is_file() or (path.is_dir() and len(path.parts) + (not isinstance(weights, str)) > 1):
        return path  # a folder only if it cannot be mistaken for a tag
    if not isinstance(weights, str) or path.is_absolute() or path.suffix in {".pth", ".pt", ".bin", ".safetensors"}:
        raise WeightsError(f"There is no file {path}. Pass a tag, 'default', or the path of a file that exists.")
    return None


def published_hash(url: str) -> str:
    """The leading digits of the sha256 that PyTorch-style file names end with, or "" if the name holds none."""
    found = _HASH_IN_NAME.search(url.rpartition("/")[2])
    return found.group(1) if found else ""


def torch_hub_file(url: str, folder: str = "checkpoints") -> Path:
    """Where torch.hub keeps the file of `url`, whether it is there or not."""
    import torch

    return Path(torch.hub.get_dir(), folder, url.rpartition("/")[2])


def fetch(record: Weights, *, offline: bool | None, cached: Path | None = None) -> Path:
    """The local file of a record, downloaded if need be; its sha256 is checked if the library publishes one.

    cached: where the library itself would have put the file; taken if it is there.
    Raises: WeightsError that names the file, the places looked at and the argument for a local path.
    """
    from zoo.weights import resolve

    if cached is not None and cached.is_file():
        record = replace(record, source=f"file:{cached}")
    path = resolve(record, offline=offline, check_hash=bool(record.sha256))
    if not record.sha256:
        logger.warning("No sha256 is published for %s: %s is taken unchecked.", record.source, path)
    return path


def find_weights(model: str, records: Sequence[Weights], weights: WeightsChoice) -> Weights:
    """The record whose tag is `weights`, in upper or lower case; the first one for "default" or True.

    Raises: UnknownNameError if there is none.
    """
    if not records:
        raise UnknownNameError(f"{model} has no published weights. Pass weights=None, or the path of a file.")
    tags = [record.tag for record in records]
    wanted = tags[0] if weights is True or weights == "default" else str(weights)
    for record in records:
        if record.tag.lower() == wanted.lower():
            return record
    raise UnknownNameError(f"{model} has no weights {wanted!r}, and no such file exists. {nearest(wanted, tags)}")


def accepted_arguments(*callables: Callable[..., object]) -> set[str]:
    """Names of the keyword arguments that the callables take; for a class, also its parents' behind `**kwargs`."""
    names: set[str] = set()
    for function in callables:
        owners = function.__mro__ if isinstance(function, type) else (function,)
        for owner in owners:
            if isinstance(owner, type) and "__init__" not in vars(owner):
                continue
            parameters = inspect.signature(vars(owner)["__init__"] if isinstance(owner, type) else owner).parameters
            kinds = {parameter.kind for parameter in parameters.values()}
            names |= {
                key
                for key, parameter in parameters.items()
                if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
            }
            if inspect.Parameter.VAR_KEYWORD not in kinds:
                break
    return names - {"self"}


def refuse_argument(model: str, argument: str, known: Iterable[str]) -> UnknownArgumentError:
    """The error for an argument that `model` does not take, with the nearest of `known`."""
    names = sorted(set(known))
    hint = nearest(argument, names)
    valid = "" if hint.startswith("Known") else f" Valid: {', '.join(names) or 'none'}."
    return UnknownArgumentError(f"{model} takes no argument {argument!r}. {hint}{valid}")


def check_arguments(model: str, arguments: Iterable[str], known: Iterable[str]) -> None:
    """Raises UnknownArgumentError for the first of `arguments` that is not in `known`."""
    names = set(known)
    for argument in arguments:
        if argument not in names:
            raise refuse_argument(model, argument, names)


@contextmanager
def naming_arguments(model: str, known: Callable[[], Iterable[str]]) -> Iterator[None]:
    """Turns a builder's TypeError about an argument into UnknownArgumentError with the nearest of `known()`."""
    try:
        yield
    except TypeError as error:
        found = _UNEXPECTED.search(str(error))
        if found is None:
            raise
        argument = found.group(1) or found.group(2)
        raise refuse_argument(model, argument, set(known()) - {argument}) from error


def brief(error: Exception, *, length: int = 400) -> str:
    """The beginning of an error's text: a library may list every tensor of a model in it."""
    text = " ".join(str(error).split())
    return text if len(text) <= length else f"{text[:length]} ..."
